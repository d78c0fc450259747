from benchmarks.table import markdown


def test_rows_of_different_keys_share_a_table():
    rows = [{"known": "digits", "top-1": 0.9}, {"known": "photos", "unlike": "two\nlines"}]
    assert markdown(rows).splitlines() == [
        "| known | top-1 | unlike |",
        "|---|---|---|",
        "| digits | 0.9 |  |",
        "| photos |  | two lines |",
    ]
    assert not markdown([])
