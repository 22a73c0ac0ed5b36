//! Drives tower-http's service for folders. Run here on tokio, and by `drop_in` on tidegate.

use std::path::Path;

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use tower_http::services::{ServeDir, ServeFile};
use tower_service::Service;

type Body = Empty<&'static [u8]>;

fn request(path: &str, fields: &[(header::HeaderName, &str)]) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    for (name, value) in fields {
        request = request.header(name, *value);
    }
    request.body(Empty::new()).unwrap()
}

async fn get(folder: &Path, request: Request<Body>) -> Response<Vec<u8>> {
    let (parts, body) = ServeDir::new(folder)
        .call(request)
        .await
        .unwrap()
        .into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Response::from_parts(parts, body)
}

fn large() -> Vec<u8> {
    (0..3_000_000u32).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn files_are_served_whole_and_in_ranges() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("large"), large()).unwrap();
    let whole = get(dir.path(), request("/large", &[])).await;
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()[header::CONTENT_LENGTH], "3000000");
    assert!(*whole.body() == large());
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=999-2000000", 999, 2_000_001),
        ("bytes=-5", 2_999_995, 3_000_000),
    ] {
        let part = get(dir.path(), request("/large", &[(header::RANGE, range)])).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert!(*part.body() == large()[from..to], "{range}");
    }
    let none = get(
        dir.path(),
        request("/large", &[(header::RANGE, "bytes=3000000-")]),
    )
    .await;
    assert_eq!(none.status(), StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn folders_have_an_index_and_missing_files_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/index.html"), "<p>").unwrap();
    let index = get(dir.path(), request("/sub/", &[])).await;
    assert_eq!(
        (index.status(), &index.body()[..]),
        (StatusCode::OK, &b"<p>"[..])
    );
    assert_eq!(index.headers()[header::CONTENT_TYPE], "text/html");
    let moved = get(dir.path(), request("/sub", &[])).await;
    assert_eq!(moved.status(), StatusCode::TEMPORARY_REDIRECT);
    for path in ["/none", "/sub/none", "/sub/index.html/none"] {
        assert_eq!(
            get(dir.path(), request(path, &[])).await.status(),
            StatusCode::NOT_FOUND
        );
    }
    let unmodified = index.headers()[header::LAST_MODIFIED].to_str().unwrap();
    let again = request("/sub/", &[(header::IF_MODIFIED_SINCE, unmodified)]);
    assert_eq!(
        get(dir.path(), again).await.status(),
        StatusCode::NOT_MODIFIED
    );
}

#[tokio::test]
async fn a_file_alone_is_served_to_many_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, large()).unwrap();
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let path = path.clone();
        tasks.push(tokio::spawn(async move {
            let response = ServeFile::new(path)
                .call(request("/any", &[]))
                .await
                .unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        }));
    }
    for task in tasks {
        assert!(task.await.unwrap() == large());
    }
}
