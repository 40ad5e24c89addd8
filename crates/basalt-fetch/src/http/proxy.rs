/// Which proxy is used for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http:` URLs.
    pub http: Option<String>,
    /// For `https:` URLs.
    pub https: Option<String>,
    /// Hosts that are reached directly: `host`, `.domain`, `domain` (its hosts too) or `*`.
    pub none: Vec<String>,
}

impl Proxies {
    /// Reads `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in lower or, except for `HTTP_PROXY`, upper case.
    /// `HTTP_PROXY` is left alone because a CGI server sets it from a request's header.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let first =
            |names: &[&str]| names.iter().filter_map(|name| variable(name)).find(|text| !text.is_empty());
        let none = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        Self {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            none: none
                .split([',', ' '])
                .map(str::trim)
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// These proxies, and what they leave open from `other`.
    pub fn or(mut self, other: Self) -> Self {
        self.http = self.http.or(other.http);
        self.https = self.https.or(other.https);
        self.none.extend(other.none);
        self
    }

    /// Whether a host (with or without a port) is reached directly.
    pub fn excludes(&self, host: &str) -> bool {
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|b| b.is_ascii_digit()) => bare,
            Some(_) | None => host,
        };
        self.none.iter().any(|rule| {
            let domain = rule.trim_start_matches('.');
            rule == "*" || host == rule || bare == domain || bare.ends_with(&format!(".{domain}"))
        })
    }
}
