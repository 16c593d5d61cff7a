// java.net.http as an application uses it, and not a word about the proxy. Arguments: URL, bytes.

import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.MessageDigest;
import java.util.HexFormat;

public class Fetch {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    /** The bytes 0 to 255, over and over. */
    static class Pieces extends InputStream {
        private final long size;
        private long at = 0;

        Pieces(long size) {
            this.size = size;
        }

        @Override
        public int read() {
            return at == size ? -1 : (int) (at++ & 255);
        }

        @Override
        public int read(byte[] into, int offset, int length) {
            if (at == size) return -1;
            int n = (int) Math.min(length, size - at);
            for (int i = 0; i < n; i++) into[offset + i] = (byte) (at + i);
            at += n;
            return n;
        }
    }

    static HttpResponse<String> send(HttpRequest.Builder request) throws Exception {
        return CLIENT.send(request.build(), BodyHandlers.ofString());
    }

    static String id(HttpResponse<?> response) {
        return response.headers().firstValue("X-Request-Id").orElse("");
    }

    public static void main(String[] args) throws Exception {
        String url = args[0];
        long size = Long.parseLong(args[1]);
        HttpResponse<String> got = send(HttpRequest.newBuilder(URI.create(url + "/hello")));
        HttpResponse<String> posted =
                send(HttpRequest.newBuilder(URI.create(url + "/post")).POST(BodyPublishers.ofString("a=b")));
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        long count = 0;
        HttpRequest download = HttpRequest.newBuilder(URI.create(url + "/bytes/" + size)).build();
        try (InputStream body = CLIENT.send(download, BodyHandlers.ofInputStream()).body()) {
            byte[] buffer = new byte[65536];
            for (int n; (n = body.read(buffer)) >= 0; count += n) digest.update(buffer, 0, n);
        }
        HttpResponse<String> uploaded = send(HttpRequest.newBuilder(URI.create(url + "/upload"))
                .POST(BodyPublishers.ofInputStream(() -> new Pieces(size))));
        System.out.printf(
                "{\"get\":[%d,\"%s\",\"%s\"],\"post\":[%d,%s,\"%s\"],\"download\":[%d,\"%s\"],\"upload\":%s}%n",
                got.statusCode(), got.body(), id(got),
                posted.statusCode(), posted.body(), id(posted),
                count, HexFormat.of().formatHex(digest.digest()), uploaded.body());
    }
}
