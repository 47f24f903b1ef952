"""Addresses below ``/v2`` that the workflows answer. None ends in a slash (contract rest-v2 §4.5)."""

from __future__ import annotations

from django.urls import path

from apikeys.workflows.rest import datasets, experiments, projects, spans

app_name = "workflows_rest"

urlpatterns = [
    path("projects", projects.ProjectList.as_view(), name="projects"),
    path("projects/<str:project_id>", projects.ProjectDetail.as_view(), name="project"),
    path("spans", spans.SpanList.as_view(), name="spans"),
    path("spans/annotate", spans.SpanAnnotations.as_view(), name="annotate-spans"),
    path("datasets", datasets.DatasetList.as_view(), name="datasets"),
    path("datasets/<str:dataset_id>", datasets.DatasetDetail.as_view(), name="dataset"),
    path("datasets/<str:dataset_id>/examples", datasets.Examples.as_view(), name="examples"),
    path("datasets/<str:dataset_id>/examples/search", datasets.ExampleSearch.as_view(), name="search-examples"),
    path(
        "datasets/<str:dataset_id>/examples/annotate", datasets.ExampleAnnotations.as_view(), name="annotate-examples"
    ),
    path("experiments", experiments.ExperimentList.as_view(), name="experiments"),
    path("experiments/<str:experiment_id>", experiments.ExperimentDetail.as_view(), name="experiment"),
    path("experiments/<str:experiment_id>/runs", experiments.Runs.as_view(), name="runs"),
    path("experiments/<str:experiment_id>/runs/search", experiments.RunSearch.as_view(), name="search-runs"),
    path("experiments/<str:experiment_id>/runs/annotate", experiments.RunAnnotations.as_view(), name="annotate-runs"),
]
