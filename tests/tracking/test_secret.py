"""What is a secret, and what is not."""

import pytest

from glassbox.tracking.secret import mask, mask_command

WORDS = [
    ("logger.api_key=abc", "logger.api_key=***"),
    ("+logger.api_key='a, b'", "+logger.api_key=***"),
    ("a.b.token=abc", "a.b.token=***"),
    ("PASSWORD=abc", "PASSWORD=***"),
    ("credentials=abc", "credentials=***"),
    ("monkey=abc", "monkey=abc"),
    ("key_size=3", "key_size=3"),
    ("tokens_per_batch=3", "tokens_per_batch=3"),
    ("api_key=${oc.env:KEY}", "api_key=${oc.env:KEY}"),
    ("url=https://me:pw@host/x?a=1", "url=https://***@host/x?a=1"),
    (r"url=https\://me\:pw@host", r"url=https\://***@host"),
    ("url=https://host:80/x@y", "url=https://host:80/x@y"),
    ("lr=0.1,logger.api_key=abc,seed=1", "lr=0.1,logger.api_key=***,seed=1"),
    ("https://host/?token=abc&x=1", "https://host/?token=***&x=1"),
]


@pytest.mark.parametrize(("word", "masked"), WORDS)
def test_words(word, masked):
    assert mask_command([word]) == [masked]
    assert mask({"x": [word]}) == {"x": [masked]}


def test_trees():
    tree = {"a": {"my_secret": {"x": 1, "y": ["b"]}, "lr": 0.1}, "token": None, "keys": "${oc.env:K}", "key": 0}
    assert mask(tree) == {
        "a": {"my_secret": {"x": "***", "y": ["***"]}, "lr": 0.1},
        "token": None,
        "keys": "${oc.env:K}",
        "key": "***",
    }
