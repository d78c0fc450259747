from infer_torchvision_resnext.bulk.processes import AHEAD, Processes


def test_while_a_batch_is_computed_the_next_one_is_decoded():
    handed_out = []

    def tasks():
        for number in range(100):
            handed_out.append(number)
            yield (number,)

    with Processes(1) as processes:
        results = processes.results(abs, tasks(), after_death=lambda task: -1, at_once=4)
        assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
        # Nobody asks for more for as long as the network is busy.
        assert len(handed_out) - 4 >= AHEAD + 3
