"""Why a push is not taken: the answer it gets, as an error that every decoder raises."""


class PushRefused(Exception):
    """The push is answered with this status and text; nothing of it is stored."""

    def __init__(self, status: int, text: str, reason: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.reason = reason  # for the counter: a word of a closed set


def too_large(limit: int) -> PushRefused:
    return PushRefused(413, f"the body is larger than {limit} bytes", "too_large")
