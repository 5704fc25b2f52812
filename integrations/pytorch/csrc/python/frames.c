#define Py_BUILD_CORE 1
#include "python/frames.h"

#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030D0000
#include <internal/pycore_frame.h>

int millrace_frames(struct millrace_frame* frames, int most) {
  PyThreadState* const thread = PyGILState_GetThisThreadState();
  if (thread == NULL || thread->cframe == NULL) return 0;
  int count = 0;
  for (const _PyInterpreterFrame* frame = thread->cframe->current_frame; frame != NULL && count < most;
       frame = frame->previous) {
#if PY_VERSION_HEX >= 0x030C0000
    if (frame->owner == FRAME_OWNED_BY_CSTACK) continue;
#endif
    if (frame->f_code == NULL) continue;
    frames[count].code = frame->f_code;
    frames[count].instruction =
        (int)((const char*)frame->prev_instr - (const char*)_PyCode_CODE(frame->f_code));
    ++count;
  }
  return count;
}

#else

int millrace_frames(struct millrace_frame* frames, int most) {
  (void)frames;
  (void)most;
  return 0;
}

#endif
