"""How every operation in the table is done: through each door that offers it, and what it changes when it is done."""

from __future__ import annotations

from tests.matrix.operations.data import DATA
from tests.matrix.operations.installation import ACCOUNT, AUDIT, INSTALLATION
from tests.matrix.operations.keys import KEYS
from tests.matrix.operations.logs import LOGS
from tests.matrix.operations.oneself import ONESELF
from tests.matrix.operations.operation import Operation
from tests.matrix.operations.people import PEOPLE
from tests.matrix.operations.places import ORGANIZATIONS, SPACES
from tests.matrix.operations.projects import PROJECTS
from tests.matrix.operations.roles import BINDINGS, ROLES
from tests.matrix.operations.workflows import DATASETS, EXPERIMENTS
from tests.matrix.operations.workflows import PROJECTS as DATA_PROJECTS

OPERATIONS: dict[str, Operation] = {
    **KEYS,
    **PEOPLE,
    **ORGANIZATIONS,
    **SPACES,
    **ROLES,
    **BINDINGS,
    **PROJECTS,
    **DATA,
    **DATASETS,
    **EXPERIMENTS,
    **DATA_PROJECTS,
    **LOGS,
    **ACCOUNT,
    **AUDIT,
    **ONESELF,
    **INSTALLATION,
}
