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
        name: "app-G4M6LNXF.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-G4M6LNXF.js"),
        gzip: include_bytes!("../files/app-G4M6LNXF.js.gz"),
    },
    DashboardFile {
        name: "app-QRCI7WTM.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-QRCI7WTM.css"),
        gzip: include_bytes!("../files/app-QRCI7WTM.css.gz"),
    },
    DashboardFile {
        name: "de-C5IF3MBC.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-C5IF3MBC.js"),
        gzip: include_bytes!("../files/de-C5IF3MBC.js.gz"),
    },
    DashboardFile {
        name: "draw-KSEQBIUC.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/draw-KSEQBIUC.js"),
        gzip: include_bytes!("../files/draw-KSEQBIUC.js.gz"),
    },
    DashboardFile {
        name: "es-BFZBW54W.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-BFZBW54W.js"),
        gzip: include_bytes!("../files/es-BFZBW54W.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-MYYUQWB4.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-MYYUQWB4.js"),
        gzip: include_bytes!("../files/pt-MYYUQWB4.js.gz"),
    },
    DashboardFile {
        name: "settings.gen-7SCCD3DJ.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/settings.gen-7SCCD3DJ.js"),
        gzip: include_bytes!("../files/settings.gen-7SCCD3DJ.js.gz"),
    },
];
