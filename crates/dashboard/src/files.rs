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
        name: "app-RFU2SZ7S.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-RFU2SZ7S.css"),
        gzip: include_bytes!("../files/app-RFU2SZ7S.css.gz"),
    },
    DashboardFile {
        name: "app-WQ74PT5T.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-WQ74PT5T.js"),
        gzip: include_bytes!("../files/app-WQ74PT5T.js.gz"),
    },
    DashboardFile {
        name: "chunk-V6T6DMB3.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/chunk-V6T6DMB3.js"),
        gzip: include_bytes!("../files/chunk-V6T6DMB3.js.gz"),
    },
    DashboardFile {
        name: "de-5V4CTVCJ.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-5V4CTVCJ.js"),
        gzip: include_bytes!("../files/de-5V4CTVCJ.js.gz"),
    },
    DashboardFile {
        name: "es-P4REZMMA.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-P4REZMMA.js"),
        gzip: include_bytes!("../files/es-P4REZMMA.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-UCSEWJ6N.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-UCSEWJ6N.js"),
        gzip: include_bytes!("../files/pt-UCSEWJ6N.js.gz"),
    },
];
