use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::ir::Media;

/// What a URL points at: a `data:` URL has its bytes with it. `None` for a `data:` URL that cannot be read.
pub(crate) fn media_of_url(url: String) -> Option<Media> {
    let Some(rest) = strip_scheme(&url) else {
        return Some(Media::Url { mime: None, url });
    };
    let (head, data) = rest.split_once(',')?;
    let (mime, encoded) = match head.strip_suffix(";base64") {
        Some(mime) => (mime, true),
        None => (head, false),
    };
    let mime = mime.split(';').next().filter(|mime| !mime.is_empty()).unwrap_or("text/plain").to_ascii_lowercase();
    let base64 = if encoded { data.to_owned() } else { STANDARD.encode(percent_decoded(data)?) };
    Some(Media::Inline { mime, base64 })
}

/// The bytes as a `data:` URL.
pub(crate) fn data_url(mime: &str, base64: &str) -> String {
    format!("data:{mime};base64,{base64}")
}

fn strip_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_at_checked(5)?;
    scheme.eq_ignore_ascii_case("data:").then_some(rest)
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_is_its_bytes() {
        let inline =
            |mime: &str, base64: &str| Some(Media::Inline { mime: mime.to_owned(), base64: base64.to_owned() });
        assert_eq!(media_of_url("data:image/png;base64,iVBO".to_owned()), inline("image/png", "iVBO"));
        assert_eq!(media_of_url("DATA:image/PNG;name=a.png;base64,iVBO".to_owned()), inline("image/png", "iVBO"));
        assert_eq!(media_of_url("data:text/plain;charset=utf-8,a%20b".to_owned()), inline("text/plain", "YSBi"));
        assert_eq!(media_of_url("data:nothing".to_owned()), None);
        assert_eq!(data_url("image/png", "iVBO"), "data:image/png;base64,iVBO");
    }

    #[test]
    fn any_other_url_stays() {
        let url = "https://example.com/a.png".to_owned();
        assert_eq!(media_of_url(url.clone()), Some(Media::Url { mime: None, url }));
    }
}
