"""The columns of files that hold contact data or personal customer ids, by what `sources.yaml` declares.

A contact column of `contacts`, or a personal `customer_id`, is filled from them: by name, or by SQL that
reads them. In quarantine their values are replaced by pseudonyms, in the rows of every table, for a file may
be read for several.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from perennial.foundation import contracts, masking
from perennial.foundation.contracts import Contract
from perennial.foundation.engine.sql_expressions import columns_of, columns_read, passes_on
from perennial.foundation.settings import settings
from perennial.ingestion import row_checks
from perennial.ingestion.landing import Landing
from perennial.ingestion.quarantine import RowMasker
from perennial.ingestion.source_settings import Constant, CustomerIds, Expression, Source, Sources


@dataclass(frozen=True)
class _Origin:
    """What fills one contact column or personal id. `names`: the columns read, None if it may be any."""

    table: str
    source: str
    column: str
    names: frozenset[str] | None
    is_computed: bool


def row_masker(landing: Landing) -> RowMasker:
    """What of refused rows nobody may read: contact data wherever it stands, and ids that are personal."""
    origins = list(_origins(landing.sources))
    ids = [origin for origin in origins if origin.column == "customer_id"]
    contacts_of = [origin for origin in origins if origin.column != "customer_id"]

    @cache
    def is_whole(file: str) -> bool:
        return _is_whole(landing, origins, file)

    return RowMasker(settings().key, _names(contacts_of), _names(ids), is_whole)


def lost(
    landing: Landing, table: str, source: Source, file: str, rows: Iterable[Mapping[str, object]]
) -> list[str]:
    """The columns that the source needs, and of which the refused rows have only pseudonyms.

    A pseudonym may stand for a personal id that is taken as it is. Any other column needs the value itself,
    and SQL would make a wrong value of a pseudonym.
    """
    origins, contract = list(_origins(landing.sources)), contracts.CONTRACTS[table]
    computed = _names(origin for origin in origins if origin.is_computed)
    needed = computed | (_names(origins) & _read_as_values(landing.sources, source, contract))
    is_whole = _is_whole(landing, origins, file)
    suspects = [name for name in source.used(contract) if is_whole or name.casefold() in needed]
    values = {name: [row.get(name) for row in rows] for name in suspects} if suspects else {}
    return [name for name in suspects if any(map(_is_hidden, values[name]))]


def _read_as_values(declared: Sources, source: Source, contract: Contract) -> frozenset[str]:
    """The source columns that fill anything but a personal id, or that a filter or the day reads."""
    personal = {"customer_id"} if declared.customer_ids is CustomerIds.PERSONAL else set()
    filled_by = [origin for name, origin in source.reads(contract).items() if name not in personal]
    texts = [origin for origin in (*filled_by, source.where, source.day) if isinstance(origin, Expression)]
    by_name = {origin.casefold() for origin in filled_by if isinstance(origin, str)}
    return frozenset(by_name.union(*(_columns_of_sql(text.sql) for text in texts)))


def _columns_of_sql(text: str) -> set[str]:
    """The columns that SQL names, in lower case."""
    return {name.casefold() for name in columns_of(text)}


def _is_hidden(value: object) -> bool:
    return isinstance(value, str) and (value == masking.NAMELESS or masking.is_pseudonym(value))


def _names(origins: Iterable[_Origin]) -> frozenset[str]:
    return frozenset(name for origin in origins for name in origin.names or ())


def _is_whole(landing: Landing, origins: Collection[_Origin], file: str) -> bool:
    """Whether a source reads the file by SQL that may read any column for a contact or a personal id."""
    return any(
        origin.source in landing.sources_of(origin.table, file) for origin in origins if origin.names is None
    )


def _origins(declared: Sources) -> Iterator[_Origin]:
    for table in contracts.LANDED_TABLES:
        columns = list(row_checks.CONTACT_COLUMNS) if table == contracts.CONTACTS.name else []
        columns += ["customer_id"] if declared.customer_ids is CustomerIds.PERSONAL else []
        for name, source in declared.of(table).sources.items():
            filled = source.reads(contracts.CONTRACTS[table])
            for column in columns:
                value = filled.get(column)
                if isinstance(value, Expression):
                    yield _Origin(table, name, column, columns_read(value.sql), not passes_on(value.sql))
                elif value is not None and not isinstance(value, Constant):
                    yield _Origin(table, name, column, frozenset((value.casefold(),)), is_computed=False)
