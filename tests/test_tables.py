"""The one reader of tables: what spreadsheets and other programs save is read as what it was."""

from __future__ import annotations

import csv
import io
import unicodedata
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import ConfigError, DataError
from kit.store.tables import read_table

cells = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp", "Zs")), max_size=5)
names = st.lists(cells.filter(lambda name: name and not name.startswith("sep=")), min_size=2, max_size=4, unique=True)


@given(data=st.data(), header=names, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
       delimiter=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n", "\r"]), told=st.booleans())  # fmt: skip
def test_encoding_delimiter_and_line_ends_change_nothing(
    tmp_path_factory, data, header, encoding, delimiter, end, told
):
    quoted = set(",;\t|") - {delimiter}
    plain = cells.filter(lambda cell: not set(cell) & quoted)
    rows = data.draw(st.lists(st.tuples(*[plain] * len(header)).filter(any), min_size=1, max_size=4))
    header = [name for name in header if not set(name) & quoted]
    if len(header) < len(rows[0]):
        return
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([header, *rows])
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes((f"sep={delimiter}{end}" * told + text.getvalue()).encode(encoding))
    table = read_table(path)
    assert table.header == tuple(header) and table.rows == tuple(rows)


def test_a_delimiter_that_only_some_lines_have_is_part_of_their_cells(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('"id";"a,b,c,d"\n1;x,y\n2;z\n')
    assert read_table(path).rows == (("1", "x,y"), ("2", "z"))
    path.write_text("id\n1;2\n3\n")
    assert read_table(path).rows == (("1;2",), ("3",))


def test_a_quote_opens_a_cell_after_spaces_too(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id, "label"\na.png, "cat, tabby"\nb.png, dog\n')
    table = read_table(path)
    assert table.header == ("id", "label") and table.column("label") == ["cat, tabby", "dog"]


def test_two_labels_in_every_cell_are_no_decimals(tmp_path):
    (tmp_path / "t.csv").write_text("id;labels\n" + "".join(f"{n};{n % 3},{n % 2}\n" for n in range(30)))
    assert read_table(tmp_path / "t.csv").column("labels") == [f"{n % 3},{n % 2}" for n in range(30)]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas_are_points_where_a_column_has_them_in_all_numbers(tmp_path, delimiter):
    rows = [
        ["id", "age", "labels", "mixed"],
        ["a", "0,5", "1,2,3", "1,5"],
        ["b", "-1,25e3", "4", "x"],
        ["c", "", "", ""],
    ]
    (tmp_path / "t.csv").write_text("\n".join(map(delimiter.join, rows)))
    table = read_table(tmp_path / "t.csv")
    assert table.column("age") == ["0.5", "-1.25e3", ""]
    assert table.column("labels") == ["1,2,3", "4", ""] and table.column("mixed") == ["1,5", "x", ""]


def test_columns_that_are_empty_from_top_to_bottom_are_passed_over(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,label,,\na,x,,\n\n,,,\nb,y,,\n")
    table = read_table(path)
    assert table.header == ("id", "label") and table.rows == (("a", "x"), ("b", "y"))
    path.write_text("id,label,,\na,x,,3\nb,y,2,\n")
    with pytest.raises(DataError, match="the column '' twice"):
        read_table(path)


def test_a_row_is_told_by_the_line_that_an_editor_shows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,label\n\n"two\nlines",x\nb,y\n')
    table = read_table(path)
    assert [table.line(row) for row in (0, 1)] == ["t.csv line 3", "t.csv line 5"]
    path.write_text("id,label\n\na,x\nb\n")
    with pytest.raises(DataError, match=r"t\.csv line 4: row 2 has 1 cells, but the header has 2"):
        read_table(path)


def test_a_column_is_found_however_its_accents_are_composed(tmp_path):
    path = tmp_path / "t.csv"
    for written, asked in product(("NFC", "NFD"), repeat=2):
        path.write_text(unicodedata.normalize(written, "id,diagnóstico\na,x\n"), encoding="utf-8")
        assert read_table(path).column(unicodedata.normalize(asked, "diagnóstico")) == ["x"]


def test_an_error_lists_only_the_first_of_many_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(",".join(f"pixel{number}" for number in range(5000)) + "\n" + ",".join("0" * 5000) + "\n")
    with pytest.raises(ConfigError, match="and 4988 more") as caught:
        read_table(path).column("label")
    assert len(caught.value.message) < 300
