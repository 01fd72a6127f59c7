"""Known differences between the servers under comparison: the whole list, each with its reason.

`known` and `parts` are about Redis 7.0, which is older than what the broker answers like. `chosen` is about the few
places in which Redis 7.2 and Valkey 9.1 part and the broker goes with Redis, `newer` about what Redis changed later,
`newest` about what it changed after 8.2. RELATIONS says which of them hold for which server.
"""

from collections import namedtuple

from masks import masked, same


def fields_of(reply):
    items = reply[1]
    return {items[i][1]: items[i + 1] for i in range(0, len(items) - 1, 2)}


def without(reply, dropped):
    """A map, or the flat array that stands for one, without some fields."""
    kept = []
    for i in range(0, len(reply[1]) - 1, 2):
        if reply[1][i][1] not in dropped:
            kept += [reply[1][i], reply[1][i + 1]]
    return (reply[0], kept)


# What Redis tells of a stream since 8.6, and of a group since 8.8.
NEW_FIELDS = {
    b"idmp-duration", b"idmp-maxsize", b"pids-tracked", b"iids-tracked", b"iids-added", b"iids-duplicates", b"nacked-count",
}


def has_pending(consumer):
    fields = fields_of(consumer)
    return fields.get(b"pending", fields.get(b"pel-count"))[1] not in (b"0", [])


def busy_consumers(rows):
    """Only consumers with pending entries, without the times: those were redefined in 7.2."""
    kept = [row for row in rows[1] if has_pending(row)]
    return (rows[0], [without(row, {b"idle", b"inactive", b"seen-time", b"active-time"}) for row in kept])


def old_consumers(words, reply):
    return busy_consumers(reply)


def old_group(group):
    """entries-read and lag follow rules that were mended after 7.0."""
    return without(group, {b"consumers", b"entries-read", b"lag"} | NEW_FIELDS)


def old_groups(words, reply):
    return (reply[0], [old_group(group) for group in reply[1]])


def old_full(words, reply):
    items = list(without(reply, NEW_FIELDS)[1])
    for i in range(0, len(items) - 1, 2):
        if items[i][1] == b"groups" and items[i + 1][0] == "*":
            groups = []
            for group in items[i + 1][1]:
                consumers = busy_consumers(fields_of(group)[b"consumers"])
                groups.append(("*", [old_group(group), consumers]))
            items[i + 1] = ("*", groups)
    return (reply[0], items)


def is_command(*wanted):
    return lambda words: tuple(word.upper() for word in words[: len(wanted)]) == wanted


def both_lists(view):
    def matches(words, current, old):
        if current[0] != old[0] or current[0] not in "*%":
            return False
        left, right = view(words, masked(words, current)), view(words, masked(words, old))
        return same(left, right)
    return matches


def errors(current_text, old_text):
    """The same refusal in other words."""
    def matches(words, current, old):
        return current[0] == old[0] == "-" and current_text in current[1] and old_text in old[1]
    return matches


def counts(words, current, old):
    return current[0] == old[0] == ":" and current[1] in (b"0", b"1") and old[1] in (b"0", b"1")


def both_help(words, current, old):
    return current[0] == old[0] == "*" and words[-1].upper() == "HELP"


def plus(words, current, old):
    return old[0] == "-" and b"Invalid stream ID" in old[1] and "+" in words


def was_accepted(words, current, old):
    return old == ("+", b"OK") and b"smaller than current max_deleted_entry_id" in current[1]


def type_error(words, current, old):
    return current[0] == "-" and b"unknown type name" in current[1]


def cursor_error(words, current, old):
    return old == ("-", b"ERR invalid cursor")


def cursor_was_accepted(words, current, old):
    return current == ("-", b"ERR invalid cursor") and old[0] == "*" and words[1].startswith("-")


# (reason, which commands, how the replies may differ)
ROWS = [
    ("XREAD knows the ID + since 7.4", is_command("XREAD"), plus),
    ("the consumer times were redefined in 7.2 and XREADGROUP and XCLAIM create the consumer always",
     is_command("XINFO", "CONSUMERS"), both_lists(old_consumers)),
    ("as above, and lag was mended after 7.0", is_command("XINFO", "GROUPS"), both_lists(old_groups)),
    ("as above", is_command("XINFO", "STREAM"), both_lists(old_full)),
    ("a consumer that read nothing exists already", is_command("XGROUP", "CREATECONSUMER"), counts),
    ("help texts", lambda words: True, both_help),
    ("reworded", is_command("XREAD"), errors(b"Unbalanced 'xread'", b"Unbalanced XREAD")),
    ("reworded", is_command("XREADGROUP"), errors(b"Unbalanced 'xreadgroup'", b"Unbalanced XREAD")),
    ("a + is refused in other words", is_command("XREADGROUP"), plus),
    ("the checks come in another order", is_command("XSETID"),
     errors(b"smaller than current max_deleted_entry_id", b"smaller than the target stream top item")),
    ("the checks come in another order", is_command("XSETID"),
     errors(b"smaller than current max_deleted_entry_id", b"smaller than the target stream length")),
    ("an unknown type is an error", is_command("SCAN"), type_error),
    ("spaces before a cursor were refused", is_command("SCAN"), cursor_error),
    ("a negative cursor was taken for a large one", is_command("SCAN"), cursor_was_accepted),
]

# From here on the two are in different states: a refusal aborts the transaction now, and XSETID refuses more.
PARTINGS = [
    (is_command("WATCH"), errors(b"not allowed inside a transaction", b"WATCH inside MULTI")),
    (is_command("MULTI"), errors(b"not allowed inside a transaction", b"MULTI calls can not be nested")),
    (is_command("XSETID"), was_accepted),
]


# (which commands, how Valkey and the broker differ): the broker says what Redis 7.2 says, and as there, the
# transaction is not lost by it, so that the two are in different states from here on.
CHOSEN = [
    (is_command("WATCH"), errors(b"not allowed inside a transaction", b"WATCH inside MULTI")),
    (is_command("MULTI"), errors(b"not allowed inside a transaction", b"MULTI calls can not be nested")),
]


def chosen(words, valkey, broker):
    """Whether the broker goes with Redis here, and nothing behind it can be compared with Valkey."""
    return any(is_about(words) and matches(words, valkey, broker) for is_about, matches in CHOSEN)


def last_existing(words, valkey, broker):
    """Whether the broker gives an entry for the ID + where Valkey gives none or less.

    + is the last entry that exists, as Redis 7.4 defines it. Valkey reads behind the last generated ID less one, and
    finds nothing when the last entry was deleted or XSETID moved that ID.
    """
    if tuple(word.upper() for word in words[:1]) != ("XREAD",) or "+" not in words:
        return False
    if broker[0] not in "*%" or not broker[1]:
        return False
    return valkey[1] is None or (valkey[0] == broker[0] and len(valkey[1]) < len(broker[1]))


def newer_group(group):
    """Redis bounds entries-read and estimates the lag anew since 8.2."""
    return without(group, {b"entries-read", b"lag"} | NEW_FIELDS)


def newer_groups(words, reply):
    return (reply[0], [newer_group(group) for group in reply[1]])


def newer_stream(words, reply):
    items = list(without(reply, NEW_FIELDS)[1])
    for i in range(0, len(items) - 1, 2):
        if items[i][1] == b"groups" and items[i + 1][0] == "*":
            items[i + 1] = ("*", [newer_group(group) for group in items[i + 1][1]])
    return (reply[0], items)


# (which commands, how the replies differ): the broker says what Redis 8 says, and Valkey 9.1 does not.
NEWER = [
    (is_command("XINFO", "GROUPS"), both_lists(newer_groups)),
    (is_command("XINFO", "STREAM"), both_lists(newer_stream)),
    (is_command("XREAD"), errors(b"for each stream key an ID or '$' must", b"for each stream key an ID, '+', or '$' must")),
    # Redis finds no keys of a type that it does not know.
    (is_command("SCAN"), type_error),
]


def newer(words, valkey, broker):
    """Whether the broker goes with a Redis that is newer than what Valkey follows."""
    return any(is_about(words) and matches(words, valkey, broker) for is_about, matches in NEWER)


def known(words, current, old):
    """The reason why Redis 7.0 may answer differently here, or None."""
    for reason, is_about, matches in ROWS:
        if is_about(words) and matches(words, current, old):
            return reason
    return None


def parts(words, current, old):
    """Whether the two go on in different states from here, so that nothing behind it can be compared."""
    return any(is_about(words) and matches(words, current, old) for is_about, matches in PARTINGS)


def untold_group(group):
    return without(group, NEW_FIELDS)


def untold_stream(words, reply):
    # A trim with ACKED that leaves nothing leaves a node in 8.2.
    is_empty = fields_of(reply).get(b"length") == (":", b"0")
    items = list(without(reply, NEW_FIELDS | ({b"radix-tree-keys"} if is_empty else set()))[1])
    for i in range(0, len(items) - 1, 2):
        if items[i][1] == b"groups" and items[i + 1][0] == "*":
            items[i + 1] = ("*", [untold_group(group) for group in items[i + 1][1]])
    return (reply[0], items)


# (which commands, how the replies differ): the broker says what Redis 8.10 says, and Redis 8.2 does not.
NEWEST = [
    (is_command("XINFO", "STREAM"), both_lists(untold_stream)),
]


def newest(words, redis, broker):
    """Whether the broker goes with a Redis that is newer than 8.2."""
    return any(is_about(words) and matches(words, redis, broker) for is_about, matches in NEWEST)


def never(words, left, right):
    return False


# How a server may answer differently: behind which replies, and behind which of a transaction's, nothing can be
# compared any more, and which replies may differ.
Relation = namedtuple("Relation", "parts inner_parts may_differ")
RELATIONS = {
    "redis": Relation(parts, parts, lambda *row: known(*row) is not None),
    "valkey": Relation(chosen, never, lambda *row: last_existing(*row) or newer(*row)),
    "redis8": Relation(never, never, newest),
}
