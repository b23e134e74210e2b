import mmap
import time

import torch
from torch import nn

from fewview.profiling import BETWEEN, Profiler, table


class UNet(nn.Module):
    """Counted by its name."""

    def forward(self, x):
        return x


def idle(seconds: float, profiler: Profiler) -> None:
    """Until so much time is in the samples too: on a busy machine they come late."""
    end, sampled = time.perf_counter() + seconds, sum(profiler.samples.values()) + seconds
    while time.perf_counter() < end or sum(list(profiler.samples.values())) < sampled:
        time.sleep(0.01)


def busy(seconds: float, profiler: Profiler) -> None:
    end, sampled = time.process_time() + seconds, sum(profiler.samples.values()) + seconds
    while time.process_time() < end or sum(list(profiler.samples.values())) < sampled:
        sum(range(1000))


def measured():
    """Two stages of known cost, with 0.1 s that belong to none."""
    network = UNet()
    with Profiler(interval=0.002) as profiler:
        profiler("resting", 0.0)
        idle(0.3, profiler)
        profiler("resting", 1.0)
        idle(0.1, profiler)
        profiler("working", 0.1)
        busy(0.2, profiler)
        for _ in range(3):
            network(torch.zeros(1))
        with mmap.mmap(-1, 300 * 2**20) as block:  # pages of its own: the allocator may still hold enough of others
            for _ in range(300):
                block.write(bytes(2**20))
            profiler("working", 0.9)
        network(torch.zeros(1))
    network(torch.zeros(1))
    return profiler.profile()


def test_stages_have_their_time_memory_and_calls():
    profile = measured()
    stages = {stage.name: stage for stage in profile.stages}
    assert set(stages) == {BETWEEN, "resting", "working"}
    assert stages["resting"].wall >= 0.3 and stages["resting"].cpu < 0.2 <= stages["working"].cpu
    assert stages[BETWEEN].wall >= 0.1
    assert stages["working"].calls == {"UNet": 4} and not stages["resting"].calls
    assert stages["working"].peak - stages["resting"].peak > 250 * 2**20
    assert profile.total.wall == sum(stage.wall for stage in profile.stages)
    assert table(profile)[-1][-1] == "UNet 4"


def test_samples_add_up_to_the_time_and_name_what_ran():
    profile = measured()
    for stage, function in (("resting", "idle"), ("working", "busy")):
        ran = {stack: t for stack, t in profile.samples.items() if stack[0] == stage}
        wall = next(s.wall for s in profile.stages if s.name == stage)
        assert 0.5 * wall < sum(ran.values()) < 1.5 * wall
        named = sum(t for stack, t in ran.items() if f".{function}" in "".join(stack))
        assert named > 0.15 * wall  # beside the checks of types
        assert all("measured" in stack[1] for stack in ran), "what led to the profiler is left out"


def test_a_profile_may_be_asked_for_before_the_end():
    with Profiler() as profiler:
        profiler("resting", 0.0)
        idle(0.05, profiler)
        early = profiler.profile().stages[-1].wall
        idle(0.05, profiler)
    assert 0.05 <= early < profiler.profile().stages[-1].wall
