//! JSON as drivers know it.

use serde_json::{Map, Value};

use super::text::approximate;

/// Sets `key` to bytes that should be text. If they are no UTF-8, `key` is an approximation with `?`, and
/// `key_b64` has the bytes themselves.
pub fn put_bytes(object: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    object.insert(key.to_owned(), Value::from(approximate(bytes)));
    if std::str::from_utf8(bytes).is_err() {
        object.insert(format!("{key}_b64"), Value::from(base64(bytes)));
    }
}

/// RFC 4648 base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit > chunk.len() { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(base64(b"\xff\xfe\xfd\xfc"), "//79/A==");
    }

    #[test]
    fn text_that_is_none_comes_twice() {
        let mut object = Map::new();
        put_bytes(&mut object, "path", "ä\n".as_bytes());
        put_bytes(&mut object, "target", b"a\xff");
        assert_eq!(Value::from(object).to_string(), r#"{"path":"ä\n","target":"a?","target_b64":"Yf8="}"#);
    }
}
