"""What REST serves of the workflows: datasets, experiments, projects and spans."""
