//! The control plane's contract: REST types, OpenAPI document and the messages between control plane and PoPs.
