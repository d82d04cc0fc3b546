//! The PoP's agent.
