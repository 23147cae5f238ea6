//! Written by `cargo xtask web`.

use crate::DashboardFile;

pub static PAGE: DashboardFile = DashboardFile {
    name: "index.html",
    content_type: "text/html; charset=utf-8",
    bytes: include_bytes!("../files/index.html"),
    gzip: include_bytes!("../files/index.html.gz"),
};

pub static ASSETS: &[DashboardFile] = &[
    DashboardFile {
        name: "app-3HEO6L65.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-3HEO6L65.css"),
        gzip: include_bytes!("../files/app-3HEO6L65.css.gz"),
    },
    DashboardFile {
        name: "app-T6Y5G55U.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-T6Y5G55U.js"),
        gzip: include_bytes!("../files/app-T6Y5G55U.js.gz"),
    },
    DashboardFile {
        name: "de-V65ZEAJP.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-V65ZEAJP.js"),
        gzip: include_bytes!("../files/de-V65ZEAJP.js.gz"),
    },
    DashboardFile {
        name: "draw-FBIDOTGT.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/draw-FBIDOTGT.js"),
        gzip: include_bytes!("../files/draw-FBIDOTGT.js.gz"),
    },
    DashboardFile {
        name: "es-FB2NKLP7.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-FB2NKLP7.js"),
        gzip: include_bytes!("../files/es-FB2NKLP7.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-ILKPGJEH.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-ILKPGJEH.js"),
        gzip: include_bytes!("../files/pt-ILKPGJEH.js.gz"),
    },
    DashboardFile {
        name: "settings.gen-7SCCD3DJ.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/settings.gen-7SCCD3DJ.js"),
        gzip: include_bytes!("../files/settings.gen-7SCCD3DJ.js.gz"),
    },
];
