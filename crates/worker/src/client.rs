//! What the front knows of a client beyond its address, for `request.cf`.

use serde::{Deserialize, Serialize};

/// Shown as `request.cf`; what is not known is left out. The front alone makes it: nothing that a client sends reaches it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientInfo {
    /// The TLS cipher suite in OpenSSL's words, `AEAD-AES128-GCM-SHA256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cipher: Option<String>,
    /// Where the address is, as far as a database says.
    #[serde(flatten)]
    pub geo: Geo,
}

/// Where an address is and whose it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Geo {
    /// ISO 3166-1 alpha-2: `FR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// `"1"` for a country of the European Union.
    #[serde(rename = "isEUCountry", skip_serializing_if = "Option::is_none")]
    pub is_eu_country: Option<String>,
    /// `AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continent: Option<String>,
    /// The city's name, in English where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// The name of the country's first-level subdivision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its ISO 3166-2 code, without the country's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_code: Option<String>,
    /// The postal code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// A name of the IANA time zone database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Degrees as text, five decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<String>,
    /// Degrees as text, five decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<String>,
    /// The code of a designated market area of the United States.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metro_code: Option<String>,
    /// The number of the autonomous system that announces the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Who runs that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_organization: Option<String>,
}

impl Geo {
    /// Fills what is not known yet from `other`.
    pub fn or(&mut self, other: Self) {
        let text = |slot: &mut Option<String>, value: Option<String>| {
            if slot.is_none() {
                *slot = value;
            }
        };
        text(&mut self.country, other.country);
        text(&mut self.is_eu_country, other.is_eu_country);
        text(&mut self.continent, other.continent);
        text(&mut self.city, other.city);
        text(&mut self.region, other.region);
        text(&mut self.region_code, other.region_code);
        text(&mut self.postal_code, other.postal_code);
        text(&mut self.timezone, other.timezone);
        text(&mut self.latitude, other.latitude);
        text(&mut self.longitude, other.longitude);
        text(&mut self.metro_code, other.metro_code);
        text(&mut self.as_organization, other.as_organization);
        self.asn = self.asn.or(other.asn);
    }
}
