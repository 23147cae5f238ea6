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
        name: "app-GRCWORGY.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-GRCWORGY.css"),
        gzip: include_bytes!("../files/app-GRCWORGY.css.gz"),
    },
    DashboardFile {
        name: "app-MGOODKXE.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-MGOODKXE.js"),
        gzip: include_bytes!("../files/app-MGOODKXE.js.gz"),
    },
    DashboardFile {
        name: "de-V65ZEAJP.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-V65ZEAJP.js"),
        gzip: include_bytes!("../files/de-V65ZEAJP.js.gz"),
    },
    DashboardFile {
        name: "draw-KSEQBIUC.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/draw-KSEQBIUC.js"),
        gzip: include_bytes!("../files/draw-KSEQBIUC.js.gz"),
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
