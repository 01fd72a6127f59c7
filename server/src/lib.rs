//! A durable stream broker that speaks Redis Streams.
