"""The table: who may do what. Rows are operations, columns are those who ask, and each cell is what it comes to.

    Y  it is made                                        .  absent: for them there is no such thing
    ^  refused as above their own role                   h  made in their own account alone, and nothing in this one
    n  forbidden: they see the thing, and may not        k  unauthorized: nobody knows who asks
    !  against a rule that binds everybody               -  no door offers it to them

Those who ask are in the account Acme AI, and everything is done in its public space production, in the organization
around that, and in the account. A role at a level is their one role that matters: account:ADMIN is a member of nothing
below, organization:MEMBER is Member of account and organization and has no role of their own in the space, and
space:ADMIN is Member of the account and Read-Only in the organization. Whoever is Annotator anywhere is it everywhere.

    account, organization, space   Ad Admin · Me Member · UI Member - UI Only · RO Read-Only Member · An Annotator
    custom roles in the space      Bi binds roles: ROLE_BINDING_CREATE and _READ · Ed edits it: SPACE_UPDATE. Both are
                                   Member of the account and Read-Only in the organization besides.
    others                         Bt the bot of a service key that is Member in the space · St the admin of another
                                   account · Op the operator of the installation · No nobody: no key, not signed in

Where a specification wants a door to answer otherwise, that stands with its source beside the way through that door, in
``tests/matrix/operations``. What a door does not offer is in no way there.
"""

from __future__ import annotations

from tests.matrix.fates import Fate
from tests.matrix.scene import CALLERS

_FATES = {
    "Y": Fate.MADE,
    "^": Fate.ABOVE,
    "n": Fate.FORBIDDEN,
    ".": Fate.ABSENT,
    "!": Fate.AGAINST,
    "h": Fate.ELSEWHERE,
    "k": Fate.UNAUTHORIZED,
    "-": None,
}

_ROWS = """
                                                      | account     | organizat.  | space       | custom| others
                                                      | Ad Me UI An | Ad Me RO An | Ad Me RO An | Bi Ed | Bt St Op No
Keys
  make a user key                                     | Y  Y  n  n  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | n  h  n  k
  make a service key                                  | Y  .  n  n  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  make a user key for somebody else                   | -  -  -  -  | -  -  -  -  | -  -  -  -  | -  -  | -  -  Y  -
  list one's own user keys                            | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | .  h  -  k
  list another person's user keys                     | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  list the service keys of a space                    | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  read about a service key                            | Y  .  .  .  | Y  Y  .  .  | Y  Y  .  .  | .  .  | Y  .  Y  k
  ask why a service key may do something              | Y  .  .  .  | Y  Y  .  .  | Y  Y  .  .  | .  .  | Y  .  Y  k
  ask why one's own key may do something              | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  h  -  k
  ask what a presented service key is                 | Y  n  n  n  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  -  k
  list the service keys one has made                  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  -  k
  list the service keys another person has made       | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  refresh one's own key                               | Y  Y  n  n  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | n  h  -  k
  revoke one's own key                                | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | n  h  -  k
  refresh another person's user key                   | Y  .  .  .  | .  .  .  .  | .  .  .  .  | .  .  | .  .  Y  k
  revoke another person's user key                    | Y  .  .  .  | .  .  .  .  | .  .  .  .  | .  .  | .  .  Y  k
  refresh a service key                               | Y  .  .  .  | Y  n  .  .  | Y  n  .  .  | .  .  | n  .  Y  k
  revoke a service key                                | Y  .  .  .  | Y  n  .  .  | Y  n  .  .  | .  .  | n  .  Y  k
  refresh a service key one has made                  | Y  n  n  n  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  revoke a service key one has made                   | Y  n  n  n  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  mark a key as seen where keys get logged            | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  Y  Y  Y
  export keys                                         | n  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  n  Y  k
  delete secrets that open nothing any more           | -  -  -  -  | -  -  -  -  | -  -  -  -  | -  -  | -  -  Y  -
People
  list the members                                    | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | Y  .  -  k
  read about a member                                 | Y  Y  Y  .  | Y  Y  Y  .  | Y  Y  Y  .  | Y  Y  | Y  .  Y  k
  read about oneself                                  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | .  h  .  k
  list the bots                                       | Y  .  .  n  | Y  Y  .  n  | Y  Y  .  n  | .  .  | -  .  -  k
  invite a member                                     | Y  Y  n  n  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | Y  h  Y  k
  invite an account admin                             | Y  ^  n  n  | ^  ^  ^  n  | ^  ^  ^  n  | ^  ^  | ^  h  Y  k
  invite a member into a space                        | Y  .  n  n  | Y  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  invite anew somebody with more than one could give  | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  -  Y  k
  send an invitation again                            | Y  Y  n  .  | Y  Y  Y  .  | Y  Y  Y  .  | Y  Y  | Y  .  Y  k
  list the invitations that are pending               | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | -  .  -  k
  look at an invitation's link                        | Y  n  n  .  | n  n  n  .  | n  n  n  .  | n  n  | n  .  Y  k
  withdraw an invitation                              | Y  n  n  .  | n  n  n  .  | n  n  n  .  | n  n  | n  .  Y  k
  have a link to a new password sent                  | Y  n  n  .  | n  n  n  .  | n  n  n  .  | n  n  | n  .  Y  k
  rename a person                                     | Y  n  n  .  | n  n  n  .  | n  n  n  .  | n  n  | n  .  Y  k
  change developer access                             | Y  n  n  .  | n  n  n  .  | n  n  n  .  | n  n  | n  .  Y  k
  change somebody's account role                      | Y  n  n  .  | n  n  n  .  | n  n  n  .  | n  n  | n  .  Y  k
  make oneself an account admin                       | -  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  bring somebody known elsewhere into the account     | .  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  remove a person                                     | Y  n  n  .  | n  n  n  .  | n  n  n  .  | n  n  | n  .  Y  k
  remove oneself                                      | !  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  !  -  k
  correct a person's name and address                 | n  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  n  Y  k
  deactivate a person                                 | n  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  n  Y  k
  reactivate a person                                 | n  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  n  Y  k
  make somebody an operator                           | n  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  n  Y  k
  make an operator of somebody new                    | -  -  -  -  | -  -  -  -  | -  -  -  -  | -  -  | -  -  Y  -
  set somebody's password                             | -  -  -  -  | -  -  -  -  | -  -  -  -  | -  -  | -  -  Y  -
Organizations
  list organizations                                  | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  -  k
  read an organization                                | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  create an organization                              | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  h  Y  k
  rename an organization                              | Y  .  .  .  | Y  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  delete an organization                              | Y  .  .  .  | n  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  list who is in an organization                      | Y  .  .  .  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | Y  .  -  k
  read what somebody is in an organization            | Y  .  .  .  | Y  Y  Y  .  | Y  Y  Y  .  | Y  Y  | Y  .  -  k
  add somebody to an organization                     | Y  .  .  .  | Y  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  change a role in an organization                    | Y  .  .  .  | Y  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  remove somebody from an organization                | Y  .  .  .  | Y  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
Spaces
  list spaces                                         | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  -  k
  read a space                                        | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  read a private space of others                      | Y  .  .  .  | .  .  .  .  | .  .  .  .  | .  .  | .  .  Y  k
  create a space                                      | Y  .  .  .  | Y  Y  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  rename a space                                      | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  Y  | n  .  Y  k
  make a space private                                | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  Y  | n  .  Y  k
  delete a space                                      | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  list who gets into a space                          | Y  .  .  .  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | Y  .  -  k
  add somebody to a space                             | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  make somebody admin of a space                      | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  give somebody a custom role in a space              | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | Y  n  | n  .  Y  k
  give somebody a custom role above one's own         | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | ^  n  | n  .  Y  k
  put a custom role in place of another               | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  remove somebody from a space                        | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
Roles
  list roles                                          | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | Y  .  Y  k
  read a role                                         | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | Y  .  Y  k
  define a role                                       | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  h  Y  k
  change a role                                       | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  change a predefined role                            | n  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  n  n  k
  delete a role                                       | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
Who holds which role in a space
  list who holds which role                           | Y  .  .  .  | Y  Y  Y  .  | Y  Y  Y  .  | Y  Y  | Y  .  Y  k
  read a role binding                                 | Y  .  .  .  | Y  Y  Y  .  | Y  Y  Y  .  | Y  Y  | Y  .  Y  k
  bind a predefined role                              | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  bind a custom role                                  | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | Y  n  | n  .  Y  k
  bind a custom role above one's own                  | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | ^  n  | n  .  Y  k
  put another predefined role into a binding          | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  put another custom role into a binding              | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  withdraw the binding of a predefined role           | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  withdraw the binding of a custom role               | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
Projects
  list who holds which role in a project              | Y  .  .  .  | Y  Y  Y  .  | Y  Y  Y  .  | Y  Y  | Y  .  Y  k
  read who holds a role in a project                  | Y  .  .  .  | Y  Y  Y  .  | Y  Y  Y  .  | Y  Y  | Y  .  Y  k
  read who holds a role in a restricted project       | Y  .  .  .  | Y  .  .  .  | Y  .  .  .  | Y  .  | .  .  Y  k
  give somebody a predefined role in a project        | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  give somebody a predefined role in a restricted one | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  give somebody a custom role in a project            | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | Y  n  | n  .  Y  k
  give somebody a custom role above one's own in it   | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | ^  n  | n  .  Y  k
  put another custom role into a project's binding    | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  withdraw a custom role in a project                 | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  list the restrictions that one may lift             | Y  .  .  .  | Y  .  .  .  | Y  .  .  .  | .  .  | .  .  Y  k
  restrict a project                                  | Y  .  .  .  | Y  n  n  n  | Y  n  n  n  | n  n  | n  .  Y  k
  lift a restriction                                  | Y  .  .  .  | Y  .  .  .  | Y  .  .  .  | .  .  | .  .  Y  k
Data
  list the projects of a space                        | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  read about a project                                | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  list the datasets of a space                        | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  read about a dataset                                | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  list the experiments of a space                     | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  read about an experiment                            | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  list the prompts of a space                         | Y  .  .  .  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | Y  .  -  k
  read a prompt                                       | Y  .  .  .  | Y  Y  Y  .  | Y  Y  Y  .  | Y  Y  | Y  .  Y  k
  create a prompt                                     | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  add a version to a prompt                           | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
Datasets
  list datasets                                       | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  read a dataset                                      | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  create a dataset                                    | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  rename a dataset                                    | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  delete a dataset                                    | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  add a version to a dataset                          | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  list the versions of a dataset                      | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  read examples                                       | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  add examples                                        | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  change examples                                     | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  remove examples                                     | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  annotate examples                                   | Y  .  .  .  | Y  Y  n  Y  | Y  Y  n  Y  | n  n  | Y  .  Y  k
Experiments
  list experiments                                    | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  read an experiment                                  | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  begin an experiment                                 | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  post the runs of an experiment                      | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  create an experiment                                | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  create an experiment without a dataset              | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  delete an experiment                                | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  read runs                                           | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  add runs                                            | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  annotate runs                                       | Y  .  .  .  | Y  Y  n  Y  | Y  Y  n  Y  | n  n  | Y  .  Y  k
  list projects                                       | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  read a project                                      | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  create a project                                    | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  rename a project                                    | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  delete a project                                    | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  read spans                                          | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  annotate spans by their ids                         | Y  .  .  .  | Y  Y  n  Y  | Y  Y  n  Y  | n  n  | Y  .  Y  k
Spans and predictions
  log spans to a project                              | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  log spans to a new project                          | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  send traces                                         | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  evaluate spans                                      | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  annotate spans                                      | Y  .  .  .  | Y  Y  n  Y  | Y  Y  n  Y  | n  n  | Y  .  Y  k
  patch the metadata of spans                         | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  export spans                                        | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  Y  k
  log predictions to a model                          | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  log predictions to a new model                      | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  Y  k
  log a single record                                 | Y  .  .  .  | Y  Y  n  n  | Y  Y  n  n  | n  n  | Y  .  -  k
  export predictions                                  | Y  .  .  .  | Y  Y  Y  n  | Y  Y  Y  n  | Y  Y  | Y  .  Y  k
The account
  read the account's key policy                       | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  h  -  k
  read about the account                              | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  .  -  k
  change the account's key policy                     | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  h  Y  k
  change the account's name and caps                  | n  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  n  Y  k
  create an account                                   | n  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  n  Y  k
The audit log
  read what one did and what was done to one          | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  h  Y  k
  read the account's audit log                        | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  .  Y  k
  export what one may read of the audit log           | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | Y  h  Y  k
  export the account's audit log                      | Y  n  n  n  | n  n  n  n  | n  n  n  n  | n  n  | n  h  -  k
  check that the audit log is what was written        | -  -  -  -  | -  -  -  -  | -  -  -  -  | -  -  | -  -  Y  -
Oneself
  sign in                                             | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  Y  Y
  sign out                                            | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  Y  -
  prove once more who one is                          | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  -  k
  change one's own password                           | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  Y  k
  replace a temporary password                        | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  -  k
  ask for a link to a new password                    | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  -  Y
  choose a new password by a link                     | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  -  Y
  accept an invitation by its link                    | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  -  Y
  choose a space to look at                           | Y  .  .  .  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  .  -  k
  read the API's documentation                        | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  -  k
  read about errors, and ask for the server's health  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  Y  Y  | Y  Y  | -  Y  -  Y
The installation
  look at everything on this installation             | -  -  -  -  | -  -  -  -  | -  -  -  -  | -  -  | -  -  Y  -
  edit by hand what verbs alone may write             | -  -  -  -  | -  -  -  -  | -  -  -  -  | -  -  | -  -  n  -
  open a door that wrong passwords closed             | -  -  -  -  | -  -  -  -  | -  -  -  -  | -  -  | -  -  Y  -
"""


def _read(rows: str) -> dict[str, dict[str, Fate | None]]:
    """Return the cells by operation and caller. A line without cells is a heading."""
    table = {}
    for line in rows.strip("\n").splitlines():
        name, _, cells = line.partition("|")
        if name.strip() and cells:
            fates = [_FATES[cell] for cell in cells.replace("|", " ").split()]
            table[name.strip()] = dict(zip(CALLERS, fates, strict=True))
    return table


TABLE = _read(_ROWS)
