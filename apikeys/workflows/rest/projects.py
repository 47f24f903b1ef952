"""``/v2/projects``: what spans and predictions are logged to."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Project, Space
from accounts.paging import paginate
from accounts.permissions import find_seen
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import paged, path_id
from accounts.rest.examples import IDS, page_of
from apikeys.workflows import projects
from apikeys.workflows.rest.endpoint import WorkflowEndpoint, in_spaces_named
from apikeys.workflows.rest.samples import PROJECT
from apikeys.workflows.rest.serializers import CreateProject, InSpaces, ProjectOut, ProjectPage, Rename
from apikeys.workflows.uses import Workflow

_TAG = "Projects"
_PATH = {"project_id": "Project"}


class ProjectList(WorkflowEndpoint):
    """The projects the caller can see, and where new ones come from."""

    access = {
        "GET": "Any valid key. The list holds the projects its user may read; 404 for an unreadable `space_id`.",
        "POST": "PROJECT_CREATE in the space: its members and admins.",
    }

    @operation(
        id="list_projects",
        tag=_TAG,
        summary="List projects",
        text="Newest first, tracing projects and ML models.",
        query=InSpaces,
        success=(200, answer(ProjectPage, {"The first of several": page_of("projects", PROJECT)})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request) -> Response:
        """List projects."""
        query = self.query(InSpaces)
        space = find_seen(self.actor, Space, query["space_id"]) if "space_id" in query else None
        rows = in_spaces_named(projects.list_projects(self.actor, space), query)
        page = paginate(rows, cursor=query["cursor"], limit=query["limit"])
        self.note(Workflow.PROJECT_READ, space)
        return paged("projects", page, ProjectOut(page.items, many=True).data)

    @operation(
        id="create_project",
        tag=_TAG,
        summary="Create a project",
        text="Not needed before something is logged: what names a project that is not there makes it.",
        request=CreateProject,
        success=(201, answer(ProjectOut, {"A new project": PROJECT})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("A project", value={"name": "new-chat", "space_id": IDS["Space"]}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Create a project."""
        body = self.body(CreateProject)
        space = find_seen(self.actor, Space, body["space_id"])
        project = projects.create_project(self.actor, space, name=body["name"], at=timezone.now())
        self.note(Workflow.PROJECT_WRITE, space)
        return Response(ProjectOut(project).data, status=201)


class ProjectDetail(WorkflowEndpoint):
    """One project."""

    access = {
        "GET": "PROJECT_READ at the project; 404 otherwise.",
        "PATCH": "PROJECT_UPDATE at the project; ML_MODEL_UPDATE where it is an ML model.",
        "DELETE": "PROJECT_DELETE at the project; ML_MODEL_DELETE where it is an ML model.",
    }

    @operation(
        id="get_project",
        tag=_TAG,
        summary="Get a project",
        path=_PATH,
        success=(200, answer(ProjectOut, {"A project": PROJECT})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, project_id: str) -> Response:
        """Return a project."""
        project = self._project(project_id)
        self.note(Workflow.PROJECT_READ, project.space)
        return Response(ProjectOut(project).data)

    @operation(
        id="update_project",
        tag=_TAG,
        summary="Rename a project",
        text="What goes on being logged under the old name makes a new project.",
        path=_PATH,
        request=Rename,
        success=(200, answer(ProjectOut, {"As it is now": PROJECT | {"name": "dialogue"}})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("Another name", value={"name": "dialogue"}, request_only=True)],
    )
    def patch(self, request: Request, project_id: str) -> Response:
        """Rename a project."""
        project, body = self._project(project_id), self.body(Rename)
        project = projects.rename_project(self.actor, project, name=body["name"], at=timezone.now())
        self.note(Workflow.PROJECT_WRITE, project.space)
        return Response(ProjectOut(project).data)

    @operation(
        id="delete_project",
        tag=_TAG,
        summary="Delete a project",
        text="With everything logged to it. There is no way back. No body.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, project_id: str) -> Response:
        """Delete a project."""
        project = self._project(project_id)
        projects.delete_project(self.actor, project, at=timezone.now())
        self.note(Workflow.PROJECT_WRITE, project.space)
        return Response(status=204)

    def _project(self, text: str) -> Project:
        return projects.find_project(self.actor, number=path_id(text, "Project"))
