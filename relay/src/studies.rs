//! A study with its series and instances, as the viewer lays it out before it fetches any image.

pub mod dto;
pub mod routes;
