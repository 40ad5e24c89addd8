//! A repository of a registry, with whatever its registry wants to know (distribution specification 1.1).

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use basalt_types::{Digest, RegistryRef};

use super::{
    Access, Descriptor, OciError,
    auth::{self, Challenge, TokenError},
    credentials::Credential,
    document::media,
};
use crate::{
    http::{Answer, Ask, AskBody, Client, Expected, Header, HttpError, Method},
    store::{Store, StoreError},
};

/// The largest manifest or index: registries are to take at least so much (distribution specification, "Pushing
/// Manifests").
pub(super) const DOCUMENT_LIMIT: u64 = 4 << 20;

/// What a session will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Pull,
    Push,
}

/// A repository, and what opened its door.
#[derive(Debug)]
pub(super) struct Session<'c> {
    client: &'c Client,
    /// How errors name the image.
    shown: String,
    /// `https://HOST`.
    origin: String,
    /// `https://HOST/v2/REPOSITORY`.
    base: String,
    repository: String,
    credential: Option<Credential>,
    insecure: bool,
    purpose: Purpose,
    authorization: Mutex<Option<String>>,
}

/// A request to a registry.
pub(super) struct Order<'o> {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<Header>,
    pub(super) body: AskBody<'o>,
}

impl Purpose {
    fn verb(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push to",
        }
    }

    fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

impl<'c> Session<'c> {
    /// The repository at its own registry.
    pub(super) fn open(
        client: &'c Client,
        access: &Access,
        image: &RegistryRef,
        purpose: Purpose,
    ) -> Result<Self, OciError> {
        let credential = access.credentials.find(image)?;
        let place = (image.api_host().to_owned(), image.repository().to_owned());
        Ok(Self::at(client, access.insecure, image, place, (credential, purpose)))
    }

    /// The repository at a mirror. What is known of the registry's own door is not shown there, but what is known of the
    /// mirror's.
    pub(super) fn open_mirror(
        client: &'c Client,
        access: &Access,
        image: &RegistryRef,
        mirror: &str,
    ) -> Result<Self, OciError> {
        let repository = match mirror.split_once('/') {
            Some((_, prefix)) => format!("{}/{}", prefix.trim_end_matches('/'), image.repository()),
            None => image.repository().to_owned(),
        };
        let host = mirror.split('/').next().unwrap_or_default().to_owned();
        let wrong = |_not_a_name| OciError::Answer {
            reference: image.to_string(),
            problem: format!("`{mirror}` is no mirror: expected HOST[:PORT][/PREFIX]"),
        };
        // `x/` makes a host of what would be a folder of the default registry.
        let there = match format!("{host}/{repository}").parse::<basalt_types::ImageRef>().map_err(wrong)? {
            basalt_types::ImageRef::Registry(there) => there,
            basalt_types::ImageRef::Layout(_) | basalt_types::ImageRef::Archive(_) => image.clone(),
        };
        let credential = access.credentials.find(&there)?;
        Ok(Self::at(client, access.insecure, image, (host, repository), (credential, Purpose::Pull)))
    }

    fn at(
        client: &'c Client,
        insecure: bool,
        image: &RegistryRef,
        (host, repository): (String, String),
        (credential, purpose): (Option<Credential>, Purpose),
    ) -> Self {
        let origin = format!("{}://{host}", if insecure { "http" } else { "https" });
        Self {
            client,
            shown: image.to_string(),
            base: format!("{origin}/v2/{repository}"),
            origin,
            repository,
            credential,
            insecure,
            purpose,
            authorization: Mutex::new(None),
        }
    }

    /// How errors name the image.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// A URL of this repository.
    pub(super) fn url(&self, below: &str) -> String {
        format!("{}/{below}", self.base)
    }

    /// The bytes and media type of a manifest or index, by tag or digest.
    pub(super) fn manifest(&self, reference: &str) -> Result<(Vec<u8>, String), OciError> {
        let accept = [media::INDEX, media::MANIFEST, media::DOCKER_LIST, media::DOCKER_MANIFEST].join(", ");
        let answer = self.send(&Order {
            method: Method::Get,
            url: self.url(&format!("manifests/{reference}")),
            headers: vec![("Accept", accept)],
            body: AskBody::Bytes(&[]),
        })?;
        self.expect(&answer, &[200])?;
        let kind = answer.header("Content-Type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let found = Digest::of(&answer.body);
        // By tag, the registry says which digest it means; what comes must have it.
        let expected =
            reference.parse().ok().or_else(|| answer.header("Docker-Content-Digest")?.parse().ok());
        match expected {
            Some(expected) if expected != found => {
                let (what, reference) = ("the manifest", self.shown.clone());
                Err(OciError::Digest { what, reference, expected, found })
            }
            Some(_) | None => Ok((answer.body, kind)),
        }
    }

    /// Fetches a blob into the store, continuing what is there of it.
    pub(super) fn blob(
        &self,
        blob: &Descriptor,
        store: &Store,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<PathBuf, OciError> {
        let url = self.url(&format!("blobs/{}", blob.digest));
        let expected = Expected { url: url.clone(), digest: blob.digest, size: blob.size };
        let fetch = || self.client.download_as(&expected, &self.authorized(&url), store, progress);
        let fetched = match fetch() {
            Err(HttpError::Status { status: 401, .. }) => {
                // Opens the door, or says why not.
                let answer = self.head(&url)?;
                self.expect(&answer, &[200])?;
                fetch()
            }
            other => other,
        };
        fetched.map_err(|error| {
            if let HttpError::Status { status, .. } = error {
                return self.refusal(status);
            }
            if let HttpError::Mismatch { source: StoreError::Mismatch { expected, found, .. }, .. } = error {
                let reference = self.shown.clone();
                return OciError::Digest { what: "a blob", reference, expected, found };
            }
            self.failure(error)
        })
    }

    /// A part of a blob. A registry that answers with all of it is understood.
    pub(super) fn range(&self, blob: &Descriptor, offset: u64, length: u64) -> Result<Vec<u8>, OciError> {
        let url = self.url(&format!("blobs/{}", blob.digest));
        let last = (offset + length).saturating_sub(1);
        let headers = vec![("Range", format!("bytes={offset}-{last}"))];
        let order = Order { method: Method::Get, url, headers, body: AskBody::Bytes(&[]) };
        let answer = self.send_within(&order, blob.size)?;
        self.expect(&answer, &[200, 206])?;
        let whole = answer.status == 200;
        super::artifact::part(answer.body, whole, offset, length).ok_or_else(|| {
            let problem = format!("{} has fewer bytes than its manifest says", blob.digest);
            OciError::Answer { reference: self.shown.clone(), problem }
        })
    }

    /// The headers of something.
    pub(super) fn head(&self, url: &str) -> Result<Answer, OciError> {
        let body = AskBody::Bytes(&[]);
        self.send(&Order { method: Method::Head, url: url.to_owned(), headers: Vec::new(), body })
    }

    /// Sends a request; opens the door when the registry asks who is there.
    pub(super) fn send(&self, order: &Order<'_>) -> Result<Answer, OciError> {
        self.send_within(order, DOCUMENT_LIMIT)
    }

    /// The same, for an answer of at most `limit` bytes.
    fn send_within(&self, order: &Order<'_>, limit: u64) -> Result<Answer, OciError> {
        if !self.insecure && !order.url.starts_with("https://") {
            let problem = format!("it leads to `{}`, which is not HTTPS", order.url);
            return Err(OciError::Answer { reference: self.shown.clone(), problem });
        }
        let key = self.authorized(&order.url);
        let answer = self.send_once(order, &key, limit)?;
        if answer.status != 401 || !self.authenticate(&answer, &key)? {
            return Ok(answer);
        }
        self.send_once(order, &self.authorized(&order.url), limit)
    }

    fn send_once(&self, order: &Order<'_>, key: &[Header], limit: u64) -> Result<Answer, OciError> {
        let Order { method, url, headers, body } = order;
        let headers = [key, headers].concat();
        let ask = Ask { method: *method, url, headers: &headers, body: *body, limit };
        self.client.exchange(&ask).map_err(|error| self.failure(error))
    }

    /// What opens the door, for requests to the registry itself.
    fn authorized(&self, url: &str) -> Vec<Header> {
        let ours = url.strip_prefix(&self.origin).is_some_and(|rest| rest.starts_with('/'));
        let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|_| ours).map(|value| ("Authorization", value)).into_iter().collect()
    }

    /// Answers the challenge of a 401 that came although `key` was shown. Says whether there is something new to try. One
    /// thread asks; the others wait for what it gets.
    fn authenticate(&self, answer: &Answer, key: &[Header]) -> Result<bool, OciError> {
        let mut known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = key.first().map(|(_, value)| value);
        if known.as_ref() != shown {
            return Ok(true);
        }
        let offered = auth::challenges(answer.headers("WWW-Authenticate"));
        let value = match offered.first() {
            None => None,
            Some(Challenge::Basic) => self.credential.as_ref().and_then(Credential::basic),
            Some(Challenge::Bearer { realm, service, scope }) => {
                let own = format!("repository:{}:{}", self.repository, self.purpose.actions());
                let scope = scope.as_deref().unwrap_or(&own);
                let service = (realm.as_str(), service.as_deref());
                let token =
                    auth::fetch_token(self.client, service, scope, self.credential.as_ref(), self.insecure);
                match token {
                    Ok(token) => Some(format!("Bearer {token}")),
                    Err(TokenError::Status(status @ (401 | 403))) => return Err(self.refusal(status)),
                    Err(TokenError::Http(error)) => return Err(self.failure(error)),
                    Err(error @ (TokenError::Plain(_) | TokenError::Status(_) | TokenError::NoToken)) => {
                        let (reference, problem) = (self.shown.clone(), error.to_string());
                        return Err(OciError::Login { reference, problem });
                    }
                }
            }
        };
        let new = value.is_some() && *known != value;
        if new {
            *known = value;
        }
        Ok(new)
    }

    /// Refuses every status but these.
    pub(super) fn expect(&self, answer: &Answer, wanted: &[u16]) -> Result<(), OciError> {
        if wanted.contains(&answer.status) { Ok(()) } else { Err(self.refusal(answer.status)) }
    }

    fn refusal(&self, status: u16) -> OciError {
        let reference = self.shown.clone();
        match status {
            401 | 403 => {
                let (action, known) = (self.purpose.verb(), self.credential.is_some());
                OciError::Denied { action, reference, status, known }
            }
            404 => OciError::Absent { reference },
            status => OciError::Answer { reference, problem: format!("status {status}") },
        }
    }

    fn failure(&self, source: HttpError) -> OciError {
        let (action, reference) = (self.purpose.verb(), self.shown.clone());
        OciError::Http { action, reference, source: Box::new(source) }
    }
}
