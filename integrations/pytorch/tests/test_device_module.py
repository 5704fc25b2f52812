"""What torch's generic code and PyTorch's users expect of a device module, as torch.cuda and torch.xpu have it."""

import pytest
import torch

from support import DEVICE, only_millrace

pytestmark = only_millrace


@pytest.mark.parametrize(
    "name",
    [
        *("is_available", "is_initialized", "init", "device_count", "current_device", "set_device", "synchronize"),
        *("device", "device_of", "get_device_name", "get_device_properties", "get_device_capability"),
        *("Stream", "Event", "StreamContext", "stream", "set_stream", "current_stream", "default_stream"),
        *("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved", "memory_stats"),
        *("memory_snapshot", "mem_get_info", "empty_cache", "reset_peak_memory_stats"),
        *("reset_accumulated_memory_stats", "set_per_process_memory_fraction", "get_per_process_memory_fraction"),
        *("manual_seed", "manual_seed_all", "seed", "seed_all", "initial_seed"),
        *("get_rng_state", "get_rng_state_all", "set_rng_state", "set_rng_state_all", "default_generators"),
        *("is_bf16_supported", "get_amp_supported_dtype", "can_device_access_peer"),
    ],
)
def test_a_device_module_has(name):
    assert hasattr(torch.millrace, name)


def test_torch_s_generic_code_finds_the_device():
    assert torch.accelerator.is_available()
    assert torch.accelerator.current_accelerator() == torch.device(DEVICE)
    assert torch.get_device_module(DEVICE) is torch.millrace
    assert torch.get_device_module(torch.device("millrace:1")) is torch.millrace
    assert torch._C._get_privateuse1_backend_name() == DEVICE
    assert torch._utils._get_available_device_type() == DEVICE
    assert torch._utils._get_all_device_indices() == [0, 1]


def test_a_checkpoint_finds_the_device_initialised():
    # torch.utils.checkpoint keeps the state of the generators only where the module says so.
    torch.ones(1, device=DEVICE)
    assert torch.millrace._initialized is True


def test_methods_and_properties_of_tensors_storages_and_modules():
    values = torch.ones(3).millrace()
    assert values.is_millrace and not torch.ones(1).is_millrace
    assert torch.ones(3).millrace(1).device == torch.device("millrace:1")
    assert values.untyped_storage().is_millrace
    assert torch.ones(3).untyped_storage().millrace().device.type == DEVICE
    assert torch.nn.Linear(2, 2).millrace().weight.is_millrace
    assert values.type() == "torch.millrace.FloatTensor"
    assert values.get_device() == 0


def test_properties_of_a_device():
    properties = torch.millrace.get_device_properties(0)
    assert properties.total_memory > 0 and properties.name
    assert torch.millrace.get_device_name(0)
    free, total = torch.millrace.mem_get_info()
    assert 0 < free <= total


def test_device_of_follows_a_tensor():
    far = torch.ones(1, device="millrace:1")
    with torch.millrace.device_of(far):
        assert torch.millrace.current_device() == 1
    with torch.millrace.device_of(torch.ones(1)):
        assert torch.millrace.current_device() == 0


def test_streams_and_events_are_made_as_torch_cuda_s():
    stream = torch.millrace.Stream(device=1, priority=0)
    assert stream.device == torch.device("millrace:1")
    with torch.millrace.StreamContext(stream):
        assert torch.millrace.current_device() == 1
    event = torch.millrace.Event(enable_timing=True, blocking=True)
    event.record()
    event.synchronize()
    assert isinstance(torch.millrace.current_stream(), torch.Stream)
    assert hash(torch.millrace.current_stream()) == hash(torch.millrace.default_stream())


def test_the_default_device_may_be_ours():
    torch.set_default_device(DEVICE)
    try:
        assert torch.ones(2).is_millrace and torch.nn.Linear(2, 2).weight.is_millrace
    finally:
        torch.set_default_device(None)


def test_a_profile_of_device_work_is_taken():
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.ones(3, device=DEVICE).add(1).tolist()
    assert any("aten::add" in event.key for event in profile.key_averages())
