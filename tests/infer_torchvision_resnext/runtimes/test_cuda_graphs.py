"""What is recorded once and replayed: on the CPU with CUDA's calls emulated, and on a GPU where there is one."""

import logging
import threading
import time

import pytest
import torch

from infer_torchvision_resnext.runtimes.cuda_graphs import Replayed
from tests.infer_torchvision_resnext.runtimes.emulated_cuda import EmulatedCuda

SECOND_GPU = torch.device("cuda", 1)


class Doubling:
    """A step, and the sizes of the batches that it was called with."""

    def __init__(self):
        self.sizes = []

    def __call__(self, batch):
        self.sizes.append(len(batch))
        return batch.float() * 2


@pytest.fixture
def cuda(monkeypatch):
    emulated = EmulatedCuda(SECOND_GPU)
    emulated.install(monkeypatch)
    return emulated


def batch(count, value=1.0):
    return torch.arange(count * 3.0).view(count, 3) + value


def test_every_batch_has_its_own_answer_on_a_second_gpu_too(cuda):
    replayed = Replayed(Doubling(), SECOND_GPU)
    for value in range(4):
        for count in (1, 3, 8, 20, 32, 33, 100):
            assert torch.equal(replayed(batch(count, value)), 2 * batch(count, value))


def test_batches_are_filled_up_to_few_sizes_and_recorded_once(cuda):
    step = Doubling()
    replayed = Replayed(step, SECOND_GPU)
    for _ in range(2):
        for count in range(1, 33):
            replayed(batch(count))
    assert set(step.sizes) == {1, 2, 4, 8, 16, 32}
    # Three times to set up, once recorded, once to compare.
    assert len(step.sizes) == 6 * 5
    assert len(cuda.pools) == 6
    assert len({id(pool) for pool in cuda.pools}) == 1
    replayed(batch(33))
    assert step.sizes[-1] == 33


def test_images_of_another_size_take_the_place_of_the_graphs(cuda):
    step = Doubling()
    replayed = Replayed(step, SECOND_GPU)
    for side in (3, 4, 3):
        assert torch.equal(replayed(torch.ones(2, side)), torch.full((2, side), 2.0))
    assert len(step.sizes) == 3 * 5
    assert len(replayed._graphs) == 1


def test_a_graph_that_does_not_compute_is_found_out_and_not_used(cuda, caplog):
    cuda.records_nothing = True
    replayed = Replayed(Doubling(), SECOND_GPU)
    for value in range(4):
        assert torch.equal(replayed(batch(2, value)), 2 * batch(2, value))
    assert caplog.text.count("a replayed graph gives other answers than what it recorded") == 1


def test_after_a_failed_recording_the_thread_is_on_its_own_stream(cuda, caplog):
    def step(values):
        if cuda._recording:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        return values * 2

    before = cuda.current_stream()
    replayed = Replayed(step, SECOND_GPU)
    for value in range(3):
        assert torch.equal(replayed(batch(2, value)), 2 * batch(2, value))
    assert cuda.current_stream() is before
    assert caplog.text.count("going on without CUDA graphs of 2 images: CUDA error: operation not permitted") == 1


def test_a_size_for_which_there_is_no_memory_runs_without_a_graph(cuda, caplog):
    def step(values):
        if cuda._recording and len(values) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return values * 2

    replayed = Replayed(step, SECOND_GPU)
    for value in range(3):
        for count in (1, 4, 2):
            assert torch.equal(replayed(batch(count, value)), 2 * batch(count, value))
    assert [size for (size, _), graph in replayed._graphs.items() if graph] == [1, 2]
    assert caplog.text.count("going on without CUDA graphs of 4 images: CUDA out of memory") == 1


def test_two_threads_do_not_record_at_once(cuda, caplog):
    def step(values):
        time.sleep(0.02)
        return values * 2

    answers = {}

    def run(index):
        answers[index] = Replayed(step, SECOND_GPU)(batch(2, index))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(answers[index], 2 * batch(2, index)) for index in range(3))
    assert "going on without" not in caplog.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine can record CUDA graphs")
def test_without_cuda_graphs_the_network_runs_as_it_is(caplog):
    caplog.set_level(logging.WARNING)
    step = Doubling()
    replayed = Replayed(step, torch.device("cpu"))
    for count in (2, 2, 2, 2, 9, 40):
        assert torch.equal(replayed(torch.ones(count, 3)), torch.full((count, 3), 2.0))
    assert step.sizes == [2, 2, 2, 2, 9, 40]
    assert caplog.text.count("going on without CUDA graphs") == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("index", range(max(1, torch.cuda.device_count())))
def test_on_a_gpu_a_graph_is_replayed_and_gives_each_batch_its_own_answer(index, caplog):
    device = torch.device("cuda", index)
    step = Doubling()
    replayed = Replayed(step, device)
    with torch.no_grad():
        for value in range(6):
            for count in (2, 3, 4):
                there = batch(count, value).to(device)
                assert torch.equal(replayed(there), 2 * there)
    assert len(step.sizes) == 2 * 5
    assert not caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_a_gpu_a_step_that_waits_cannot_be_recorded_and_harms_nothing(caplog):
    def waiting(values):
        values.sum().item()
        return values * 2

    stream = torch.cuda.current_stream()
    replayed = Replayed(waiting, torch.device("cuda", 0))
    for value in range(3):
        there = batch(2, value).cuda()
        assert torch.equal(replayed(there), 2 * there)
    assert torch.cuda.current_stream() == stream
    assert caplog.text.count("going on without CUDA graphs") == 1
    torch.cuda.empty_cache()
