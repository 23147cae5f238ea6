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
        name: "app-CCU2BYKZ.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-CCU2BYKZ.js"),
        gzip: include_bytes!("../files/app-CCU2BYKZ.js.gz"),
    },
    DashboardFile {
        name: "app-LO44N7AU.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-LO44N7AU.css"),
        gzip: include_bytes!("../files/app-LO44N7AU.css.gz"),
    },
    DashboardFile {
        name: "de-TZRXRUJD.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-TZRXRUJD.js"),
        gzip: include_bytes!("../files/de-TZRXRUJD.js.gz"),
    },
    DashboardFile {
        name: "es-BCWS2ZKE.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-BCWS2ZKE.js"),
        gzip: include_bytes!("../files/es-BCWS2ZKE.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-4RFJGAE7.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-4RFJGAE7.js"),
        gzip: include_bytes!("../files/pt-4RFJGAE7.js.gz"),
    },
];
