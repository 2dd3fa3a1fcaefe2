//! Sending a file to where a PUT says: S3, Azure, Google Cloud Storage.
//!
//! The server says where to, with credentials for that place alone; what is sent is decided here: the files
//! of the step, never a path or pattern from the answer. Files are streamed, some at a time; whatever breaks, the
//! commit begins again with a new PUT, which brings new credentials.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderName, HeaderValue, header};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{
    Attribute, Attributes, ObjectStore, PutMultipartOptions, PutOptions, PutPayloadMut,
};
use overlock_core::{Error, ErrorKind, Part};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::cipher::{BLOCK, Cipher, EncryptionMaterial, Encryptor};
use super::codes::AGAIN;
use super::external::broken;
use crate::render::put_path;
use crate::warehouse::{Failure, Result};

/// The files that a PUT means, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) dir: PathBuf,
    pub(crate) files: Vec<Part>,
}

/// What became of them.
pub(crate) struct Sent {
    /// The answer that a statement would have.
    pub(crate) answer: Value,
    /// Whether they were sent; if not, the place that the server named has room for one file (a presigned URL).
    pub(crate) is_all: bool,
}

/// Files on their way at once.
pub(crate) const FILES_AT_ONCE: usize = 4;

/// Bytes in memory at once, twice.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes of one part on S3, which wants at least 5 MiB and takes 10,000 of them.
const PART_BYTES: usize = 5 << 20;

/// Where storage of Snowflake lies; PrivateLink and FIPS end points end like this as well.
const STORAGE_DOMAINS: [&str; 7] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".core.windows.net",
    ".core.usgovcloudapi.net",
    ".core.chinacloudapi.cn",
    "storage.googleapis.com",
    ".storage.googleapis.com",
];

/// `stageInfo` of the answer to a PUT (snowflake.md, section 4).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StageInfo {
    location_type: String,
    #[serde(default)]
    location: String,
    region: Option<String>,
    end_point: Option<String>,
    #[serde(default)]
    use_s3_regional_url: bool,
    #[serde(default)]
    use_regional_url: bool,
    storage_account: Option<String>,
    presigned_url: Option<String>,
    #[serde(default)]
    creds: Credentials,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", default)]
struct Credentials {
    aws_key_id: Option<String>,
    aws_secret_key: Option<String>,
    aws_token: Option<String>,
    azure_sas_token: Option<String>,
    gcs_access_token: Option<String>,
}

/// Sends `expected` to where `answer` says.
pub(crate) async fn run(
    client: &reqwest::Client,
    base: &Url,
    is_stand_in: bool,
    answer: &Value,
    expected: Option<Upload>,
) -> Result<Sent> {
    let Some(upload) = expected else {
        return Err(Failure::refused("send a file that no step named"));
    };
    let named: Vec<&Path> = answer
        .pointer("/data/src_locations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(Path::new)
        .collect();
    if named != [put_path(&upload.dir, &upload.files)] {
        return Err(Failure::refused(
            "send what the server names instead of the files that were meant",
        ));
    }
    let unreadable = |what: &str| Failure::refused(format!("read where to send a file: {what}"));
    let info = answer
        .pointer("/data/stageInfo")
        .cloned()
        .unwrap_or_default();
    let info: StageInfo = serde_json::from_value(info).map_err(|_| unreadable("stageInfo"))?;
    let material = match answer.pointer("/data/encryptionMaterial") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            EncryptionMaterial::deserialize(value).map_err(|_| unreadable("encryptionMaterial"))?,
        ),
    };
    if upload.files.len() > 1 && info.presigned().is_some() {
        return Ok(Sent {
            answer: uploaded(&[], answer),
            is_all: false,
        });
    }
    let sendings = upload.files.iter().map(|part| {
        Ok(Sending {
            client,
            base,
            is_stand_in,
            info: &info,
            part,
            file: upload.dir.join(&part.name),
            cipher: material.as_ref().map(Cipher::new).transpose()?,
        })
    });
    let sendings = sendings.collect::<Result<Vec<_>>>()?;
    let sent: Vec<_> = sendings.iter().map(Sending::send).collect();
    stream::iter(sent)
        .buffer_unordered(FILES_AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(Sent {
        answer: uploaded(&upload.files, answer),
        is_all: true,
    })
}

/// What a statement would answer.
fn uploaded(files: &[Part], answer: &Value) -> Value {
    let columns = [
        "source",
        "target",
        "source_size",
        "target_size",
        "source_compression",
        "target_compression",
        "status",
        "message",
    ];
    let rowtype: Vec<Value> = columns
        .iter()
        .map(|name| json!({"name": name, "type": "text", "nullable": true}))
        .collect();
    let rows: Vec<Value> = files
        .iter()
        .map(|part| {
            let (name, size) = (&part.name, part.bytes.to_string());
            json!([name, name, size, size, "NONE", "NONE", "UPLOADED", ""])
        })
        .collect();
    json!({
        "success": true, "code": null, "message": null,
        "data": {
            "rowtype": rowtype, "total": rows.len(), "returned": rows.len(), "rowset": rows,
            "queryId": answer.pointer("/data/queryId").cloned().unwrap_or(json!("")),
            "parameters": [], "finalRoleName": "", "statementTypeId": 0, "version": 1,
        }
    })
}

/// One file on its way.
struct Sending<'a> {
    client: &'a reqwest::Client,
    base: &'a Url,
    is_stand_in: bool,
    info: &'a StageInfo,
    part: &'a Part,
    file: PathBuf,
    cipher: Option<Cipher>,
}

impl StageInfo {
    fn presigned(&self) -> Option<&str> {
        self.presigned_url
            .as_deref()
            .filter(|text| !text.is_empty())
    }
}

impl Sending<'_> {
    async fn send(&self) -> Result<()> {
        match self.info.location_type.as_str() {
            "S3" => self.to_s3().await,
            "AZURE" => self.to_azure().await,
            "GCS" => self.to_gcs().await,
            other => {
                let other = overlock_core::text::printable(other);
                Err(Failure::refused(format!(
                    "send a file to a stage of the kind `{other}`"
                )))
            }
        }
    }

    fn digest(&self) -> String {
        let hex = self.part.sha256.as_bytes().chunks(2);
        let bytes: Vec<u8> = hex
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        STANDARD.encode(bytes)
    }

    fn length(&self) -> u64 {
        let block = BLOCK as u64;
        match self.cipher {
            Some(_) => (self.part.bytes / block + 1) * block,
            None => self.part.bytes,
        }
    }

    /// Only storage of the three clouds gets our rows, and a stand-in only on its own host.
    fn check(&self, url: &Url) -> Result<()> {
        let host = url.host_str().unwrap_or_default();
        let good = if self.is_stand_in {
            Some(host) == self.base.host_str()
        } else {
            url.scheme() == "https" && STORAGE_DOMAINS.iter().any(|domain| host.ends_with(domain))
        };
        if good {
            return Ok(());
        }
        let host = overlock_core::text::printable(host);
        Err(Failure::refused(format!(
            "send a file to `{host}`, which is no storage of Snowflake's clouds"
        )))
    }

    fn url(&self, text: &str) -> Result<Url> {
        let url = Url::parse(text).map_err(|_| Failure::refused("read where to send a file"))?;
        self.check(&url)?;
        Ok(url)
    }

    /// `bucket/prefix/` apart.
    fn split<'b>(&self, location: &'b str) -> Result<(&'b str, String)> {
        let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
        if bucket.is_empty() {
            return Err(Failure::refused("read where to send a file"));
        }
        let prefix = prefix.trim_matches('/');
        let path = if prefix.is_empty() {
            self.part.name.clone()
        } else {
            format!("{prefix}/{}", self.part.name)
        };
        Ok((bucket, path))
    }

    async fn to_s3(&self) -> Result<()> {
        let info = self.info;
        let (bucket, path) = self.split(&info.location)?;
        let region = info.region.as_deref().unwrap_or("us-east-1");
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        let endpoint = match info.end_point.as_deref().filter(|text| !text.is_empty()) {
            // A stand-in for tests speaks plain HTTP.
            Some(endpoint) if self.is_stand_in => format!("http://{endpoint}"),
            Some(endpoint) => format!("https://{endpoint}"),
            None if info.use_s3_regional_url || info.use_regional_url || !suffix.is_empty() => {
                format!("https://s3.{region}.amazonaws.com{suffix}")
            }
            None => format!("https://s3.{region}.amazonaws.com"),
        };
        self.url(&endpoint)?;
        let creds = &info.creds;
        let store = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_allow_http(self.is_stand_in)
            .with_region(region)
            .with_bucket_name(bucket)
            .with_access_key_id(creds.aws_key_id.clone().unwrap_or_default())
            .with_secret_access_key(creds.aws_secret_key.clone().unwrap_or_default())
            .with_token(creds.aws_token.clone().unwrap_or_default())
            .build()
            .map_err(|_| Failure::refused("prepare an upload to S3"))?;
        let path =
            ObjectPath::parse(path).map_err(|_| Failure::refused("read where to send a file"))?;
        let mut attributes = Attributes::new();
        let mut note = |name: &'static str, value: String| {
            attributes.insert(Attribute::Metadata(name.into()), value.into());
        };
        note("sfc-digest", self.digest());
        if let Some(cipher) = &self.cipher {
            note("x-amz-key", cipher.wrapped.clone());
            note("x-amz-iv", STANDARD.encode(cipher.iv));
            note("x-amz-matdesc", cipher.description.clone());
        }
        let chunks = self.chunks()?;
        send_object(&store, &path, attributes, self.length(), chunks).await
    }

    async fn to_azure(&self) -> Result<()> {
        let info = self.info;
        let (container, path) = self.split(&info.location)?;
        let account = info.storage_account.as_deref().unwrap_or_default();
        let endpoint = info.end_point.as_deref().filter(|text| !text.is_empty());
        let base = match endpoint {
            Some(endpoint) if self.is_stand_in => format!("http://{endpoint}/{account}"),
            Some(endpoint) => format!("https://{account}.{endpoint}"),
            None => format!("https://{account}.blob.core.windows.net"),
        };
        let token = info.creds.azure_sas_token.as_deref().unwrap_or_default();
        let url = self.url(&format!(
            "{base}/{container}/{path}?{}",
            token.trim_start_matches('?')
        ))?;
        let mut headers = vec![
            ("x-ms-blob-type", "BlockBlob".to_owned()),
            ("x-ms-meta-sfcdigest", self.digest()),
        ];
        if let Some(cipher) = &self.cipher {
            headers.push(("x-ms-meta-encryptiondata", cipher.data("AES_CBC_128")));
            headers.push(("x-ms-meta-matdesc", cipher.description.clone()));
        }
        self.put(url, &headers).await
    }

    async fn to_gcs(&self) -> Result<()> {
        let info = self.info;
        let mut headers = Vec::new();
        let url = if let Some(presigned) = info.presigned() {
            self.url(presigned)?
        } else {
            let (bucket, path) = self.split(&info.location)?;
            let token = info.creds.gcs_access_token.as_deref().unwrap_or_default();
            headers.push(("authorization", format!("Bearer {token}")));
            let endpoint = info.end_point.as_deref().filter(|text| !text.is_empty());
            let base = match endpoint {
                Some(endpoint) if self.is_stand_in => format!("http://{endpoint}"),
                Some(endpoint) => format!("https://{endpoint}"),
                None => "https://storage.googleapis.com".to_owned(),
            };
            self.url(&format!("{base}/{bucket}/{path}"))?
        };
        headers.push(("x-goog-meta-sfc-digest", self.digest()));
        if let Some(cipher) = &self.cipher {
            headers.push(("x-goog-meta-encryptiondata", cipher.data("AES_CBC_256")));
            headers.push(("x-goog-meta-matdesc", cipher.description.clone()));
        }
        self.put(url, &headers).await
    }

    async fn put(&self, url: Url, headers: &[(&'static str, String)]) -> Result<()> {
        let mut request = self
            .client
            .put(url)
            .header(header::CONTENT_LENGTH, self.length());
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| Failure::refused("send a file with what the server says about it"))?;
            value.set_sensitive(*name == "authorization");
            request = request.header(HeaderName::from_static(name), value);
        }
        let body = reqwest::Body::wrap_stream(self.chunks()?.map(|chunk| {
            chunk
                .map_err(|failure| std::io::Error::other(failure.into_error().message().to_owned()))
        }));
        let sent = request.body(body).send().await;
        let status = sent.map_err(|error| broken_off(&error))?.status();
        if status.is_success() {
            return Ok(());
        }
        // Also an expired token: the next attempt begins with a new PUT, which brings a new one.
        Err(Failure::Lost(
            Error::new(
                ErrorKind::Destination,
                format!("send a file to its stage: HTTP {status}"),
            )
            .context("status", status.as_u16())
            .hint(AGAIN),
        ))
    }

    /// The file's bytes, encrypted if they must be.
    fn chunks(&self) -> Result<Chunks> {
        let cipher = self.cipher.as_ref().map(Cipher::encryptor).transpose()?;
        chunks(&self.file, cipher)
    }
}

/// A request that got no answer. Its URL is not shown: it may be signed.
fn broken_off(error: &reqwest::Error) -> Failure {
    let why = if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    };
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let doing = format!("send a file to its stage: {why}");
    let mut failure = Error::new(ErrorKind::Destination, doing).hint(AGAIN);
    if !std::ptr::addr_eq(cause, error) {
        failure = failure.context("cause", cause);
    }
    Failure::Lost(failure)
}

/// The bytes of a file, a piece at a time.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes>>;

/// Sends what comes as one object of `length` bytes: at once if it is small, else in parts.
pub(crate) async fn send_object(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    attributes: Attributes,
    length: u64,
    mut chunks: Chunks,
) -> Result<()> {
    let broken = |error| broken("send a file to its stage", &error);
    if length <= PART_BYTES as u64 {
        let mut whole = PutPayloadMut::new();
        while let Some(chunk) = chunks.next().await {
            whole.push(chunk?);
        }
        let options = PutOptions {
            attributes,
            ..PutOptions::default()
        };
        let sent = store.put_opts(path, whole.freeze(), options);
        sent.await.map_err(broken)?;
        return Ok(());
    }
    let options = PutMultipartOptions {
        attributes,
        ..PutMultipartOptions::default()
    };
    let mut parts = store
        .put_multipart_opts(path, options)
        .await
        .map_err(broken)?;
    // Chunks as they are, without a copy of the whole part.
    let mut part = PutPayloadMut::new();
    while let Some(chunk) = chunks.next().await {
        part.push(chunk?);
        if part.content_length() >= PART_BYTES {
            let full = std::mem::take(&mut part).freeze();
            parts.put_part(full).await.map_err(broken)?;
        }
    }
    if !part.is_empty() {
        parts.put_part(part.freeze()).await.map_err(broken)?;
    }
    parts.complete().await.map_err(broken)?;
    Ok(())
}

/// Reads a file on a thread of its own, and encrypts it there if it must be.
pub(crate) fn chunks(file: &Path, mut cipher: Option<Encryptor>) -> Result<Chunks> {
    let unreadable = |error: std::io::Error| {
        Failure::Refused(Error::new(ErrorKind::Io, "read a file of a package").source(error))
    };
    let mut file = std::fs::File::open(file).map_err(unreadable)?;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = fill(&mut file, &mut chunk);
            let is_last = !matches!(read, Ok(CHUNK_BYTES));
            let chunk = read.map_err(unreadable).map(|length| {
                chunk.truncate(length);
                match &mut cipher {
                    Some(cipher) => Bytes::from(cipher.take(chunk, is_last)),
                    None => Bytes::from(chunk),
                }
            });
            // Nobody listens any more if the request broke.
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    Ok(stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    })
    .boxed())
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut std::fs::File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}
