//! The control plane: catalog, artifacts, deployments, tokens, audit.
