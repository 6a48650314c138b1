# ruff: noqa: RUF001
"""The block list finds what it names however it is written, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.moderation import blocklist
from system.moderation.blocklist import BlockList, BlockListError

SHIPPED = Path(blocklist.__file__).parent / "blocklist.txt"
LIST = BlockList({"kill yourself": "self-harm", "pipe bomb": "violence"})


@pytest.mark.parametrize(
    "text",
    [
        "Go and kill yourself.",
        "KILL YOURSELF",
        "k1ll y0ur$elf",
        "ki11 yourself",
        "k!ll yourself",
        "kіll yоurself",
        "ｋｉｌｌ ｙｏｕｒｓｅｌｆ",
        "𝓴𝓲𝓵𝓵 𝔂𝓸𝓾𝓻𝓼𝓮𝓵𝓯",
        "ⓚⓘⓛⓛ yourself",
        "kïll yóurself",
        "k̷i̷l̷l̷ yourself",
        "ki\u200bll your\u00adself",
        "kiiilll yoooourself",
        "k i l l  y o u r s e l f",
        "k.i.l.l yourself",
        "K-I-L-L Y-O-U-R-S-E-L-F",
        "k_i_l_l yourself",
        "kill\n\tyourself",
        "kill...yourself",
        "killyourself",
        "kill-your-self",
        "why not?kill yourself!now",
        "so: kill@yourself1",
    ],
)
def test_a_phrase_is_found_however_it_is_hidden(text: str) -> None:
    hit = LIST.find(text)
    assert hit
    assert (hit.category, hit.phrase) == ("self-harm", "kill yourself")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Skill yourself up before the climb.",
        "The pipes and the bath bomb are on the second shelf.",
        "Do not kill weeds. Yourself and others will thank you.",
        "A bombproof tent, pipe fittings, and a killer view.",
        "Scunthorpe, Penistone and Lightwater are towns.",
        "I like the item 5 of 7, at $12.30 or 11 €.",
    ],
)
def test_what_only_looks_like_a_phrase_is_not_one(text: str) -> None:
    assert LIST.find(text) is None
    assert blocklist.load(SHIPPED).find(text) is None


@given(
    data=st.data(),
    before=st.text(alphabet="xyz ", max_size=20),
    hidden=st.sampled_from(["\u200b", "\u00ad", "\u0301", "\u2060", "\ufeff"]),
)
def test_every_shipped_phrase_is_found_with_letters_repeated_raised_or_padded(
    data: st.DataObject, before: str, hidden: str
) -> None:
    shipped = blocklist.load(SHIPPED)
    lines = [line for line in SHIPPED.read_text().splitlines() if line and not line.startswith("#")]
    phrase = data.draw(st.sampled_from(lines)).partition(": ")[2]
    disguised = "".join(
        letter if letter == " " else data.draw(st.sampled_from([letter, letter.upper(), letter * 3, letter + hidden]))
        for letter in phrase
    )
    assert shipped.find(f"{before} {disguised} {before}"), disguised


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    LIST.find(text)


def test_every_problem_of_a_list_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# comment\n\nviolence: pipe bomb\nviolenc: x\nfraud\nfraud: 4 you\n")
    with pytest.raises(BlockListError) as raised:
        blocklist.load(path)
    told = str(raised.value).splitlines()
    assert [line.removeprefix(f"{path}:")[0] for line in told] == ["4", "5", "6"]
    assert "'violenc' is no category; use violence, " in told[0]
    assert "'' is no phrase" in told[1]
    assert "'4 you' is no phrase; write small letters" in told[2]
    with pytest.raises(BlockListError, match="cannot be read"):
        blocklist.load(tmp_path / "none.txt")
