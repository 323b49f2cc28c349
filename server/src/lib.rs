//! Sampan's server: accounts, homes, quotas, and uploads that survive whatever breaks in between.

mod quota;
pub mod store;
mod upload;
