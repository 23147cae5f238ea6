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
        name: "app-L65CCNVB.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-L65CCNVB.js"),
        gzip: include_bytes!("../files/app-L65CCNVB.js.gz"),
    },
    DashboardFile {
        name: "de-VENWG3QA.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-VENWG3QA.js"),
        gzip: include_bytes!("../files/de-VENWG3QA.js.gz"),
    },
    DashboardFile {
        name: "draw-FBIDOTGT.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/draw-FBIDOTGT.js"),
        gzip: include_bytes!("../files/draw-FBIDOTGT.js.gz"),
    },
    DashboardFile {
        name: "es-CRXKJU74.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-CRXKJU74.js"),
        gzip: include_bytes!("../files/es-CRXKJU74.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-ATIVP7KX.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-ATIVP7KX.js"),
        gzip: include_bytes!("../files/pt-ATIVP7KX.js.gz"),
    },
    DashboardFile {
        name: "settings.gen-7SCCD3DJ.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/settings.gen-7SCCD3DJ.js"),
        gzip: include_bytes!("../files/settings.gen-7SCCD3DJ.js.gz"),
    },
];
