//! Encryption of a file for a stage that asks for it (snowflake.md, section 4).

use aes::cipher::{BlockEncryptMut as _, KeyInit as _, KeyIvInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use rand::Rng as _;
use serde::Deserialize;
use serde_json::json;

use crate::warehouse::{Failure, Result};

/// Bytes of a block of AES.
pub(crate) const BLOCK: usize = 16;

/// What the stage gives for it.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EncryptionMaterial {
    query_stage_master_key: String,
    query_id: String,
    smk_id: i64,
}

/// How a file is encrypted, and what its receiver must know for that.
pub(crate) struct Cipher {
    key: Vec<u8>,
    pub(crate) iv: [u8; BLOCK],
    pub(crate) wrapped: String,
    pub(crate) description: String,
}

/// The cipher of one file, at work.
pub(crate) enum Encryptor {
    Short(Box<cbc::Encryptor<aes::Aes128>>),
    Long(Box<cbc::Encryptor<aes::Aes256>>),
}

impl Encryptor {
    /// Encrypts whole blocks; the last ones with padding.
    pub(crate) fn take(&mut self, mut bytes: Vec<u8>, is_last: bool) -> Vec<u8> {
        if is_last {
            return match self {
                Self::Short(cipher) => (**cipher).clone().encrypt_padded_vec_mut::<Pkcs7>(&bytes),
                Self::Long(cipher) => (**cipher).clone().encrypt_padded_vec_mut::<Pkcs7>(&bytes),
            };
        }
        // A chunk that is not the last is a whole number of blocks.
        for block in bytes.chunks_exact_mut(BLOCK) {
            let block = aes::Block::from_mut_slice(block);
            match self {
                Self::Short(cipher) => cipher.encrypt_block_mut(block),
                Self::Long(cipher) => cipher.encrypt_block_mut(block),
            }
        }
        bytes
    }
}

impl Cipher {
    pub(crate) fn new(material: &EncryptionMaterial) -> Result<Self> {
        let bad = || Failure::refused("encrypt a file with the key that the stage gave");
        let master = STANDARD
            .decode(&material.query_stage_master_key)
            .map_err(|_| bad())?;
        let mut key = vec![0; master.len()];
        let mut iv = [0; BLOCK];
        rand::rng().fill(key.as_mut_slice());
        rand::rng().fill(&mut iv);
        let wrapped = match master.len() {
            16 => wrap(
                &aes::Aes128::new_from_slice(&master).map_err(|_| bad())?,
                &key,
            ),
            32 => wrap(
                &aes::Aes256::new_from_slice(&master).map_err(|_| bad())?,
                &key,
            ),
            _ => return Err(bad()),
        };
        let description = json!({
            "smkId": material.smk_id.to_string(),
            "queryId": material.query_id,
            "keySize": (master.len() * 8).to_string(),
        });
        Ok(Self {
            key,
            iv,
            wrapped,
            description: description.to_string(),
        })
    }

    pub(crate) fn encryptor(&self) -> Result<Encryptor> {
        let bad = |_| Failure::refused("encrypt a file with the key that the stage gave");
        let (key, iv) = (&self.key, &self.iv);
        Ok(match self.key.len() {
            16 => Encryptor::Short(Box::new(
                cbc::Encryptor::new_from_slices(key, iv).map_err(bad)?,
            )),
            _ => Encryptor::Long(Box::new(
                cbc::Encryptor::new_from_slices(key, iv).map_err(bad)?,
            )),
        })
    }

    /// What Azure and Google keep beside the file.
    pub(crate) fn data(&self, algorithm: &str) -> String {
        json!({
            "EncryptionMode": "FullBlob",
            "WrappedContentKey": {
                "KeyId": "symmKey1", "EncryptedKey": self.wrapped, "Algorithm": "AES_CBC_256",
            },
            "EncryptionAgent": {"Protocol": "1.0", "EncryptionAlgorithm": algorithm},
            "ContentEncryptionIV": STANDARD.encode(self.iv),
            "KeyWrappingMetadata": {"EncryptionLibrary": "Java 5.3.0"},
        })
        .to_string()
    }
}

/// AES-ECB over the padded file key.
fn wrap<C>(cipher: &C, key: &[u8]) -> String
where
    C: aes::cipher::BlockEncrypt + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    let padding = BLOCK - key.len() % BLOCK;
    let mut padded = key.to_vec();
    padded.resize(
        key.len() + padding,
        u8::try_from(padding).unwrap_or_default(),
    );
    for block in padded.chunks_exact_mut(BLOCK) {
        cipher.encrypt_block(aes::Block::from_mut_slice(block));
    }
    STANDARD.encode(padded)
}
