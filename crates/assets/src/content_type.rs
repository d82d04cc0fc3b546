//! Content types by file name.

/// Extensions whose type in the `mime_guess` table is not the one that the Workers tools send, or that it does not know; sorted.
const OVERRIDES: &[(&str, &str)] = &[
    ("3mf", "model/3mf"),
    ("aif", "audio/x-aiff"),
    ("aifc", "audio/x-aiff"),
    ("aiff", "audio/x-aiff"),
    ("amr", "audio/amr"),
    ("appinstaller", "application/appinstaller"),
    ("appx", "application/appx"),
    ("appxbundle", "application/appxbundle"),
    ("avci", "image/avci"),
    ("avcs", "image/avcs"),
    ("blend", "application/x-blender"),
    ("c", "text/x-c"),
    ("cab", "application/vnd.ms-cab-compressed"),
    ("cc", "text/x-c"),
    ("cjs", "application/node"),
    ("cpp", "text/x-c"),
    ("cwl", "application/cwl"),
    ("cxx", "text/x-c"),
    ("dtd", "application/xml-dtd"),
    ("dwg", "image/vnd.dwg"),
    ("dxf", "image/vnd.dxf"),
    ("ecma", "application/ecmascript"),
    ("emf", "image/emf"),
    ("exr", "image/aces"),
    ("fbx", "application/vnd.autodesk.fbx"),
    ("fits", "image/fits"),
    ("flac", "audio/x-flac"),
    ("h", "text/x-c"),
    ("hh", "text/x-c"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ipynb", "application/x-ipynb+json"),
    ("java", "text/x-java-source"),
    ("jfif", "image/pjpeg"),
    ("jls", "image/jls"),
    ("jph", "image/jph"),
    ("jsx", "text/jsx"),
    ("jxr", "image/jxr"),
    ("jxs", "image/jxs"),
    ("key", "application/vnd.apple.keynote"),
    ("ktx2", "image/ktx2"),
    ("lottie", "application/zip+dotlottie"),
    ("m2t", "video/mp2t"),
    ("m2ts", "video/mp2t"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4b", "audio/mp4"),
    ("m4p", "application/mp4"),
    ("m4s", "video/iso.segment"),
    ("manifest", "text/cache-manifest"),
    ("map", "application/json"),
    ("mdx", "text/mdx"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript"),
    ("msix", "application/msix"),
    ("msixbundle", "application/msixbundle"),
    ("mtl", "model/mtl"),
    ("mts", "video/mp2t"),
    ("mvt", "application/vnd.mapbox-vector-tile"),
    ("numbers", "application/vnd.apple.numbers"),
    ("obj", "model/obj"),
    ("osm", "application/vnd.openstreetmap.data+xml"),
    ("otf", "font/otf"),
    ("owl", "application/rdf+xml"),
    ("pages", "application/vnd.apple.pages"),
    ("psd", "image/vnd.adobe.photoshop"),
    ("rar", "application/vnd.rar"),
    ("rmi", "audio/midi"),
    ("rpm", "application/x-redhat-package-manager"),
    ("spdx", "text/spdx"),
    ("sql", "application/sql"),
    ("step", "model/step"),
    ("stl", "model/stl"),
    ("stp", "model/step"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("ttml", "application/ttml+xml"),
    ("usda", "model/vnd.usda"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vcs", "text/x-vcalendar"),
    ("vsdx", "application/vnd.visio"),
    ("wgsl", "text/wgsl"),
    ("wmf", "image/wmf"),
    ("woff", "font/woff"),
    ("wrl", "model/vrml"),
    ("wsdl", "application/wsdl+xml"),
    ("xlf", "application/xliff+xml"),
    ("xml", "application/xml"),
    ("xsd", "application/xml"),
    ("xsl", "application/xml"),
    ("xslt", "application/xslt+xml"),
    ("yaml", "text/yaml"),
    ("yml", "text/yaml"),
];

/// The content type of a file, text with its charset; `None` for an unknown extension.
pub fn content_type(path: &str) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    // `.gitignore` and `README` have no extension.
    let (stem, extension) = name.rsplit_once('.')?;
    if stem.is_empty() {
        return None;
    }
    let extension = extension.to_ascii_lowercase();
    let content_type = match OVERRIDES.binary_search_by_key(&extension.as_str(), |(known, _)| known) {
        Ok(at) => OVERRIDES[at].1.to_owned(),
        Err(_) => mime_guess::from_ext(&extension).first_raw()?.to_owned(),
    };
    if content_type.starts_with("text/") {
        return Some(format!("{content_type}; charset=utf-8"));
    }
    Some(content_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_extension() {
        let check = |path: &str, expected: Option<&str>| assert_eq!(content_type(path).as_deref(), expected, "{path}");
        check("/index.html", Some("text/html; charset=utf-8"));
        check("/A.HTML", Some("text/html; charset=utf-8"));
        check("/app.js", Some("text/javascript; charset=utf-8"));
        check("/app.mjs", Some("text/javascript; charset=utf-8"));
        check("/app.js.map", Some("application/json"));
        check("/app.css", Some("text/css; charset=utf-8"));
        check("/a.txt", Some("text/plain; charset=utf-8"));
        check("/a.md", Some("text/markdown; charset=utf-8"));
        check("/a.csv", Some("text/csv; charset=utf-8"));
        check("/a.json", Some("application/json"));
        check("/a.xml", Some("application/xml"));
        check("/a.wasm", Some("application/wasm"));
        check("/a.svg", Some("image/svg+xml"));
        check("/a.png", Some("image/png"));
        check("/a.avif", Some("image/avif"));
        check("/a.webp", Some("image/webp"));
        check("/favicon.ico", Some("image/vnd.microsoft.icon"));
        check("/a.woff2", Some("font/woff2"));
        check("/a.webmanifest", Some("application/manifest+json"));
        check("/a.pdf", Some("application/pdf"));
        check("/a.mp4", Some("video/mp4"));
        check("/a.tar.gz", Some("application/gzip"));
        check("/README", None);
        check("/.gitignore", None);
        check("/a.nosuchthing", None);
        check("/dir.html/file", None);
        check("/a.", None);
    }

    #[test]
    fn the_table_is_sorted_and_changes_something() {
        assert!(OVERRIDES.is_sorted_by(|a, b| a.0 < b.0));
        for (extension, content_type) in OVERRIDES {
            assert_ne!(
                mime_guess::from_ext(extension).first_raw(),
                Some(*content_type),
                "{extension}"
            );
        }
    }
}
