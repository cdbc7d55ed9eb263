mod bench;
mod copies;
mod repair;
mod scale;
mod trim;
