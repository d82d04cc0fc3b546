//! Where a client's address is, from databases that the operator supplies: files in MaxMind's format (MMDB 2.0), in the
//! layouts of MaxMind's City, Country and ASN databases and of IPinfo's. Atoll brings no such data and asks nobody for it.
//!
//! A field that the file has in another form than expected is left out; a lookup never fails a request.

use atoll_worker::client::Geo;
use maxminddb::Reader;
use serde_json::Value;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Databases, in order: what the first does not know, the next may.
pub struct GeoDatabases {
    readers: Vec<Reader<Vec<u8>>>,
}

/// Why a database was not opened.
#[derive(Debug, thiserror::Error)]
#[error("the database {path} cannot be used: {cause}")]
pub struct GeoError {
    path: PathBuf,
    cause: String,
}

impl std::fmt::Debug for GeoDatabases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeoDatabases")
            .field("count", &self.readers.len())
            .finish()
    }
}

impl GeoDatabases {
    /// Reads the files into memory.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self, GeoError> {
        let open = |path: &Path| {
            Reader::open_readfile(path).map_err(|error| GeoError {
                path: path.to_owned(),
                cause: error.to_string(),
            })
        };
        let readers = paths.iter().map(|path| open(path.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { readers })
    }

    /// What is known of an address.
    pub fn find(&self, address: IpAddr) -> Geo {
        let mut geo = Geo::default();
        for reader in &self.readers {
            let record = reader.lookup(address).and_then(|found| found.decode::<Value>());
            match record {
                Ok(Some(record)) => geo.or(read(&record)),
                Ok(None) => {}
                Err(error) => tracing::debug!(%address, %error, "the database cannot tell"),
            }
        }
        geo
    }
}

/// The text at the first of `paths` that has one; numbers count as text.
fn text(record: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| match record.pointer(path)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

fn degrees(record: &Value, paths: &[&str]) -> Option<String> {
    let value: f64 = text(record, paths)?.parse().ok()?;
    value.is_finite().then(|| format!("{value:.5}"))
}

fn read(record: &Value) -> Geo {
    let in_eu = record.pointer("/country/is_in_european_union") == Some(&Value::Bool(true));
    // IPinfo writes "AS15169", MaxMind 15169.
    let asn = text(record, &["/autonomous_system_number", "/asn"]);
    Geo {
        country: text(record, &["/country/iso_code", "/country_code", "/country"]),
        is_eu_country: in_eu.then(|| "1".to_owned()),
        continent: text(record, &["/continent/code", "/continent_code", "/continent"]),
        city: text(record, &["/city/names/en", "/city"]),
        region: text(record, &["/subdivisions/0/names/en", "/region"]),
        region_code: text(record, &["/subdivisions/0/iso_code", "/region_code"]),
        postal_code: text(record, &["/postal/code", "/postal_code", "/postal"]),
        timezone: text(record, &["/location/time_zone", "/timezone"]),
        latitude: degrees(record, &["/location/latitude", "/latitude", "/lat"]),
        longitude: degrees(record, &["/location/longitude", "/longitude", "/lng"]),
        metro_code: text(record, &["/location/metro_code"]),
        asn: asn.and_then(|text| text.trim_start_matches("AS").parse().ok()),
        as_organization: text(record, &["/autonomous_system_organization", "/as_name", "/as_org"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn layouts() {
        let check = |record: Value, expected: Value| assert_eq!(serde_json::to_value(read(&record)).unwrap(), expected);
        check(
            json!({
                "country": { "iso_code": "FR", "is_in_european_union": true }, "continent": { "code": "EU" },
                "city": { "names": { "de": "x", "en": "Lyon" } }, "postal": { "code": "69001" },
                "subdivisions": [{ "iso_code": "ARA", "names": { "en": "Auvergne" } }],
                "location": { "latitude": 45.76, "longitude": 4.8357123, "time_zone": "Europe/Paris", "metro_code": 5 },
            }),
            json!({
                "country": "FR", "isEUCountry": "1", "continent": "EU", "city": "Lyon", "postalCode": "69001",
                "region": "Auvergne", "regionCode": "ARA", "latitude": "45.76000", "longitude": "4.83571",
                "timezone": "Europe/Paris", "metroCode": "5",
            }),
        );
        check(
            json!({ "autonomous_system_number": 64500, "autonomous_system_organization": "Example" }),
            json!({ "asn": 64500, "asOrganization": "Example" }),
        );
        check(
            json!({
                "country_code": "JP", "country": "Japan", "continent_code": "AS", "continent": "Asia", "city": "Tokyo",
                "region": "Tokyo", "postal_code": "100", "timezone": "Asia/Tokyo", "latitude": "35.7", "longitude": "139.7",
                "asn": "AS64501", "as_name": "Example KK",
            }),
            json!({
                "country": "JP", "continent": "AS", "city": "Tokyo", "region": "Tokyo", "postalCode": "100",
                "timezone": "Asia/Tokyo", "latitude": "35.70000", "longitude": "139.70000", "asn": 64501,
                "asOrganization": "Example KK",
            }),
        );
        // Nothing of it is as expected.
        check(
            json!({ "country": {}, "location": { "latitude": "north" }, "asn": [1], "city": "" }),
            json!({}),
        );
    }
}
