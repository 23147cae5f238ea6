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
        name: "app-MBK7OXPV.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-MBK7OXPV.js"),
        gzip: include_bytes!("../files/app-MBK7OXPV.js.gz"),
    },
    DashboardFile {
        name: "app-N2DEMCF5.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-N2DEMCF5.css"),
        gzip: include_bytes!("../files/app-N2DEMCF5.css.gz"),
    },
    DashboardFile {
        name: "de-5BU3BJKA.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-5BU3BJKA.js"),
        gzip: include_bytes!("../files/de-5BU3BJKA.js.gz"),
    },
    DashboardFile {
        name: "draw-KSEQBIUC.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/draw-KSEQBIUC.js"),
        gzip: include_bytes!("../files/draw-KSEQBIUC.js.gz"),
    },
    DashboardFile {
        name: "es-XN5I2B7Z.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-XN5I2B7Z.js"),
        gzip: include_bytes!("../files/es-XN5I2B7Z.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-QBHTCWNL.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-QBHTCWNL.js"),
        gzip: include_bytes!("../files/pt-QBHTCWNL.js.gz"),
    },
];
