// All of Millrace.
#pragma once

#include <millrace/device.h>
#include <millrace/dlpack.h>
#include <millrace/dtype.h>
#include <millrace/error.h>
#include <millrace/event.h>
#include <millrace/graph.h>
#include <millrace/memory_kind.h>
#include <millrace/memory_observer.h>
#include <millrace/memory_pool.h>
#include <millrace/memory_segment.h>
#include <millrace/memory_statistics.h>
#include <millrace/native_allocator.h>
#include <millrace/reduce.h>
#include <millrace/reduction.h>
#include <millrace/stream.h>
#include <millrace/tensor.h>
#include <millrace/version.h>
