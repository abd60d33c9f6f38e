"""Lists that are read to their end, one object at a time."""


def pages_of_one(pager) -> list:
    """Everything that a published pager gives whose limit is 1; no page may hold more."""
    found = []
    while pager.has_next():
        page = pager.get_next()
        assert len(page) <= 1, "a page of more than one"
        found += page
    return found
