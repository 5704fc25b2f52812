"""Random numbers: the CPU's with the same seed, states, generators, and the order of seeds and work."""

import pytest
import torch

from support import DEVICE, ON_CPU, assert_same, only_millrace, run_python


def draw_on(device, draw, seed=123):
    if device == "cpu":
        generator = torch.Generator().manual_seed(seed)
    else:
        generator = torch.Generator(device=device).manual_seed(seed)
    return draw(device, generator)


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda d, g: torch.rand(5, 7, device=d, generator=g), id="rand"),
        pytest.param(lambda d, g: torch.rand(3, device=d, generator=g, dtype=torch.float64), id="rand_double"),
        pytest.param(lambda d, g: torch.randn(40, device=d, generator=g), id="randn"),
        pytest.param(lambda d, g: torch.randn(5, device=d, generator=g), id="randn_few"),
        pytest.param(lambda d, g: torch.randint(3, 90, (20,), device=d, generator=g), id="randint"),
        pytest.param(lambda d, g: torch.randperm(50, device=d, generator=g), id="randperm"),
        pytest.param(lambda d, g: torch.empty(30, device=d).normal_(2, 3, generator=g), id="normal_"),
        pytest.param(lambda d, g: torch.empty(30, device=d).uniform_(-1, 1, generator=g), id="uniform_"),
        pytest.param(lambda d, g: torch.empty(30, device=d).bernoulli_(0.3, generator=g), id="bernoulli_"),
        pytest.param(lambda d, g: torch.empty(30, device=d).exponential_(2, generator=g), id="exponential_"),
        pytest.param(lambda d, g: torch.empty(30, device=d).geometric_(0.3, generator=g), id="geometric_"),
        pytest.param(lambda d, g: torch.empty(30, device=d).cauchy_(generator=g), id="cauchy_"),
        pytest.param(lambda d, g: torch.empty(30, device=d).log_normal_(generator=g), id="log_normal_"),
        pytest.param(lambda d, g: torch.empty(30, device=d).random_(generator=g), id="random_"),
        pytest.param(lambda d, g: torch.bernoulli(torch.full((30,), 0.4, device=d), generator=g), id="bernoulli"),
        pytest.param(lambda d, g: torch.poisson(torch.full((30,), 4.0, device=d), generator=g), id="poisson"),
        pytest.param(lambda d, g: torch.normal(torch.zeros(9, device=d), 1.5, generator=g), id="normal"),
        pytest.param(lambda d, g: torch.multinomial(torch.ones(4, 10, device=d), 3, generator=g), id="multinomial"),
        pytest.param(lambda d, g: [torch.rand(4, device=d, generator=g) for _ in range(2)], id="two"),
    ],
)
def test_a_generator_draws_the_cpu_s_numbers(draw):
    assert_same(draw_on(DEVICE, draw), draw_on("cpu", draw), rtol=0, atol=0)


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda d: torch.rand(10, device=d), id="rand"),
        pytest.param(lambda d: torch.randn(100, device=d), id="randn"),
        pytest.param(lambda d: torch.rand_like(torch.ones(3, 4, device=d)), id="rand_like"),
        pytest.param(lambda d: torch.randint_like(torch.ones(8, device=d), 9), id="randint_like"),
        pytest.param(lambda d: torch.nn.functional.dropout(torch.ones(50, device=d), 0.4), id="dropout"),
        pytest.param(lambda d: torch.nn.functional.dropout2d(torch.ones(3, 6, 2, 2, device=d)), id="dropout2d"),
        pytest.param(lambda d: torch.nn.functional.alpha_dropout(torch.ones(50, device=d), 0.4, True), id="alpha"),
        pytest.param(lambda d: torch.nn.functional.rrelu(-torch.ones(50, device=d), training=True), id="rrelu"),
        pytest.param(lambda d: torch.nn.init.xavier_uniform_(torch.empty(5, 6, device=d)), id="xavier_uniform_"),
        pytest.param(lambda d: torch.nn.init.trunc_normal_(torch.empty(5, 6, device=d)), id="trunc_normal_"),
        pytest.param(lambda d: torch.nn.Linear(3, 4, device=d).weight, id="linear"),
    ],
)
def test_manual_seed_gives_the_cpu_s_numbers(draw):
    torch.manual_seed(42)
    expected = [draw("cpu"), draw("cpu")]
    torch.manual_seed(42)
    actual = [draw(DEVICE), draw(DEVICE)]
    assert_same(actual, expected, rtol=0, atol=0)
    assert not torch.equal(expected[0], expected[1])


def test_two_draws_differ_and_a_seed_repeats_them():
    torch.manual_seed(1)
    first, second = torch.rand(20, device=DEVICE), torch.rand(20, device=DEVICE)
    torch.manual_seed(1)
    assert not first.equal(second)
    assert torch.rand(20, device=DEVICE).equal(first)


@only_millrace
def test_states_are_got_and_set():
    state = torch.millrace.get_rng_state()
    assert state.device.type == "cpu" and state.dtype == torch.uint8
    first = torch.rand(10, device=DEVICE)
    assert not torch.equal(torch.millrace.get_rng_state(), state)
    torch.millrace.set_rng_state(state)
    assert torch.rand(10, device=DEVICE).equal(first)
    both = torch.millrace.get_rng_state_all()
    assert len(both) == torch.millrace.device_count()
    torch.rand(3, device="millrace:1")
    torch.millrace.set_rng_state_all(both)
    assert torch.equal(torch.millrace.get_rng_state("millrace:1"), both[1])


@only_millrace
def test_devices_have_generators_of_their_own():
    torch.manual_seed(9)
    near = torch.rand(5, device="millrace:0")
    far = torch.rand(5, device="millrace:1")
    assert torch.equal(near.cpu(), far.cpu())
    torch.millrace.manual_seed(3)
    assert torch.millrace.initial_seed() == 3
    with torch.millrace.device(1):
        assert torch.millrace.initial_seed() == 9
    torch.millrace.manual_seed_all(4)
    with torch.millrace.device(1):
        assert torch.millrace.initial_seed() == 4
        torch.millrace.seed()
        assert torch.millrace.initial_seed() != 4
    torch.millrace.seed_all()
    assert torch.millrace.initial_seed() != 4


@only_millrace
def test_fork_rng_restores_every_device():
    torch.manual_seed(5)
    expected = [torch.rand(4, device=device).cpu() for device in ("millrace:0", "millrace:1")]
    torch.manual_seed(5)
    with torch.random.fork_rng(device_type="millrace"):
        torch.manual_seed(77)
        torch.rand(9, device="millrace:0"), torch.rand(9, device="millrace:1")
    for device, numbers in zip(("millrace:0", "millrace:1"), expected):
        assert torch.equal(torch.rand(4, device=device).cpu(), numbers)


def test_a_generator_s_state_clones_and_moves():
    generator = torch.Generator(device=DEVICE).manual_seed(8)
    assert generator.device.type == DEVICE and generator.initial_seed() == 8
    torch.rand(3, device=DEVICE, generator=generator)
    state, twin = generator.get_state(), generator.clone_state()
    numbers = torch.rand(10, device=DEVICE, generator=generator)
    assert torch.rand(10, device=DEVICE, generator=twin).equal(numbers)
    assert torch.rand(10, device=DEVICE, generator=torch.Generator(device=DEVICE).set_state(state)).equal(numbers)
    assert generator.seed() == generator.initial_seed() != 8


@only_millrace
def test_a_generator_of_another_device_is_refused():
    with pytest.raises(RuntimeError, match="(?i)generator"):
        torch.rand(3, device=DEVICE, generator=torch.Generator())
    with pytest.raises((RuntimeError, ValueError)):
        torch.rand(3, device="cpu", generator=torch.Generator(device=DEVICE))


@only_millrace
def test_a_seed_set_while_work_is_queued_does_not_change_what_was_queued(gate):
    torch.manual_seed(10)
    expected = torch.rand(10), torch.nn.functional.dropout(torch.ones(30), 0.5)
    generator = torch.Generator(device=DEVICE).manual_seed(11)
    expected_own = torch.rand(10, generator=torch.Generator().manual_seed(11))
    torch.manual_seed(10)
    gate.put(torch.ones(1, device=DEVICE))
    actual = torch.rand(10, device=DEVICE), torch.nn.functional.dropout(torch.ones(30, device=DEVICE), 0.5)
    own = torch.rand(10, device=DEVICE, generator=generator)
    torch.manual_seed(999)
    generator.manual_seed(999)
    after = torch.rand(10, device=DEVICE)
    del generator
    gate.open()
    assert_same(actual, expected, rtol=0, atol=0)
    assert_same(own, expected_own, rtol=0, atol=0)
    assert_same(after, torch.rand(10, generator=torch.Generator().manual_seed(999)), rtol=0, atol=0)


@only_millrace
def test_a_state_asked_for_while_work_is_queued_is_the_one_after_it():
    # In an interpreter of its own: asking that waits with the interpreter held would never end.
    ended = run_python(
        """
        import support, threading
        gate = support.Gate()
        gate.put(torch.ones(1, device="millrace"))
        torch.rand(10, device="millrace")
        threading.Timer(0.05, gate.open).start()
        state = torch.millrace.get_rng_state()
        following = torch.rand(10, device="millrace")
        torch.millrace.set_rng_state(state)
        print(torch.rand(10, device="millrace").equal(following))
        """,
        seconds=30,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_draws_on_the_cpu_are_left_alone():
    torch.manual_seed(13)
    expected = torch.rand(5)
    torch.manual_seed(13)
    if not ON_CPU:
        torch.rand(100, device=DEVICE).sum().item()
    assert torch.equal(torch.rand(5), expected)
