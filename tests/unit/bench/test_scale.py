"""What counts as flat when the number of leads grows."""

from tests.bench.scale.figures import Figure, growth, median_figure


def test_work_is_flat_if_it_takes_at_most_a_fifth_more() -> None:
    (flat, rising) = growth(
        {1_000_000: [Figure("g", "flat", 12, 0), Figure("g", "rising", 13, 0)],
         10_000: [Figure("g", "flat", 10, 0), Figure("g", "rising", 10, 0)]}
    )  # fmt: skip
    assert (flat.ratio, flat.is_flat) == (1.2, True)
    assert (rising.ratio, rising.is_flat) == (1.3, False)


def test_less_than_a_millisecond_more_is_flat() -> None:
    (seen,) = growth({10: [Figure("g", "quick", 0.1, 0)], 1000: [Figure("g", "quick", 1.0, 0)]})
    assert seen.ratio == 10
    assert seen.is_flat


def test_work_that_reads_every_row_is_compared_per_lead() -> None:
    measured = {
        leads: [
            Figure("g", "even", leads / 10, 0, linear=True),
            Figure("g", "worse", leads**1.1, 0, linear=True),
        ]
        for leads in (100, 10_000)
    }
    assert [each.is_flat for each in growth(measured)] == [True, False]


def test_only_work_that_every_size_has_is_compared() -> None:
    assert not growth({10: [Figure("g", "a", 1, 1)], 100: [Figure("g", "b", 1, 1)]})
    assert not growth({})


def test_a_figure_is_the_median_of_the_runs() -> None:
    assert median_figure("g", "n", [(1, 10), (9, 30), (2, 20)]) == Figure("g", "n", 2, 20)
