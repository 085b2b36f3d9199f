"""Groups of examples that no label is for, and what they are called."""

import torch

from learners.shift.groups import find_groups, telling_words


def test_close_examples_are_groups_and_scattered_or_few_ones_are_not():
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(12)

    def near(c, n):
        return centres[c] + 0.1 * torch.randn(n, 12, generator=generator)

    labelled, y = torch.cat([near(0, 20), near(1, 20)]), torch.arange(40) // 20
    x = torch.cat([near(5, 6), near(6, 9), near(7, 4), torch.randn(3, 12, generator=generator)])
    groups = find_groups(x, labelled, y)
    assert [sorted(group) for group in groups] == [list(range(6, 15)), list(range(6))]
    assert find_groups(x[:4], labelled, y) == []


def test_the_words_of_a_group_are_those_that_the_rest_lacks():
    group = ["play some jazz music", "play music by Bach", "play rock music please", "start jazz music"]
    rest = ["what is the weather", "some rain please", "is it cold by the sea", "the weather in Rome"] * 3
    words = telling_words(group, rest)
    assert words[0] == "music"
    assert "play" in words
    assert not {"weather", "some", "please"} & set(words)
    assert telling_words(["one"], ["two"]) == []
