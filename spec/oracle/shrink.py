"""Makes a failing case small: drops entries and fields and lowers numbers for as long as it goes on failing.

small(value, fails) -> the smallest value found; fails(list of values) -> list of booleans, so that all candidates of a
round are asked at once.
"""


def simpler(value):
    """Every value that is one step simpler than this one."""
    if isinstance(value, dict):
        for name in value:
            yield {k: v for k, v in value.items() if k != name}
        for name, inner in value.items():
            for less in simpler(inner):
                yield {**value, name: less}
    elif isinstance(value, list):
        if len(value) > 2:
            yield value[:len(value) // 2]
            yield value[len(value) // 2:]
        for i in range(len(value)):
            yield value[:i] + value[i + 1:]
        for i, inner in enumerate(value):
            for less in simpler(inner):
                yield value[:i] + [less] + value[i + 1:]
    elif isinstance(value, bool):
        return
    elif isinstance(value, int) and value > 0:
        for less in sorted({0, 1, 10, 100, value // 2, value - 1}):
            if less < value:
                yield less
    elif isinstance(value, float):
        yield int(value)


def size(value):
    if isinstance(value, dict):
        return 1 + sum(size(v) for v in value.values())
    if isinstance(value, list):
        return 1 + sum(size(v) for v in value)
    return 1


def small(value, fails, rounds=200):
    for _ in range(rounds):
        candidates = sorted(simpler(value), key=size)
        better = next((c for c, bad in zip(candidates, fails(candidates)) if bad), None)
        if better is None:
            return value
        value = better
    return value
