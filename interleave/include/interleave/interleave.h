// All of interleave.
#pragma once

#include "interleave/atomic.h"
#include "interleave/check.h"
#include "interleave/clock.h"
#include "interleave/mutex.h"
#include "interleave/process.h"
#include "interleave/semaphore.h"
#include "interleave/thread.h"
#include "interleave/thread_slot.h"
#include "interleave/var.h"
