// java.net.http as an application uses it, and not a word about the proxy. Arguments: URLs.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;

public class Get {
    static String quoted(String text) {
        StringBuilder into = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c < ' ') into.append(String.format("\\u%04x", (int) c));
            else into.append(c == '"' || c == '\\' ? "\\" : "").append(c);
        }
        return into.append('"').toString();
    }

    public static void main(String[] urls) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        List<String> told = new ArrayList<>();
        for (String url : urls) {
            HttpResponse<String> response =
                    client.send(HttpRequest.newBuilder(URI.create(url)).build(), BodyHandlers.ofString());
            String id = response.headers().firstValue("X-Request-Id").map(Get::quoted).orElse("null");
            told.add("[%d,%s,%s]".formatted(response.statusCode(), quoted(response.body()), id));
        }
        System.out.println("[" + String.join(",", told) + "]");
    }
}
