/* The calling thread's Python frames, read without the interpreter's lock. */
#pragma once

#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

struct millrace_frame {
  PyCodeObject* code; /* borrowed */
  int instruction;    /* as PyCode_Addr2Line takes it */
};

/* The innermost first; how many. While a thread calls into C its own frames stand still, whoever has the
   lock. 0 in threads that Python does not know, and in versions whose frames this does not know. */
int millrace_frames(struct millrace_frame* frames, int most);

#ifdef __cplusplus
}
#endif
