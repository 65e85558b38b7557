"""The pages in the order in which the wizard shows them."""

from tui.wizard.administrator import Administrator
from tui.wizard.apply import ApplyPage
from tui.wizard.done import Done
from tui.wizard.listeners import ListenersPage
from tui.wizard.loki import LokiPage
from tui.wizard.network import Network
from tui.wizard.page import Page
from tui.wizard.review import Review
from tui.wizard.time import Time
from tui.wizard.tls import TlsPage
from tui.wizard.welcome import Keyboard, Welcome

PAGES: tuple[type[Page], ...] = (
    Welcome, Network, Time, LokiPage, ListenersPage, TlsPage, Administrator, Review, ApplyPage, Done,
)  # fmt: skip
SETTINGS: tuple[type[Page], ...] = (Keyboard, *PAGES[1 : PAGES.index(Review)])
BY_NAME: dict[str, type[Page]] = {page.NAME: page for page in [*PAGES, *SETTINGS]}
