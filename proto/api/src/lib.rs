//! proto/api
