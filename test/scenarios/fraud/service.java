// The fraud service of the incident in Java: scores a payment by what five vendors say of it.
//
// java.net.http has no bound of its own, and no timeout either. What is bounded is the threads: calls are made as
// most services make them, with a blocking send() on an executor of a fixed size, here twenty threads for all vendors
// together. A vendor that gives no answer is left out of the score; the proxy is taken from -Dhttp.proxyHost.
//
// It binds a port of its own, prints {"port":N}, and also tells what it saw of each call: GET /calls.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

public class FraudService {
    static final List<String> VENDORS = List.of("device", "identity", "network", "email", "sanctions");
    static final Pattern SCORE = Pattern.compile("\"score\":([0-9.e-]+)");
    static final HttpClient CLIENT = HttpClient.newHttpClient();
    static final ExecutorService CALLS = Executors.newFixedThreadPool(20);
    static final Queue<Call> SEEN = new ConcurrentLinkedQueue<>();

    static class Call {
        final String vendor;
        final long at = System.currentTimeMillis();
        final long began = System.nanoTime();
        volatile double ms = -1;
        volatile String outcome;

        Call(String vendor) {
            this.vendor = vendor;
        }

        /** What came is told last, for who reads it may read it meanwhile. */
        void end(String how) {
            outcome = how;
            ms = (System.nanoTime() - began) / 1e6;
        }

        @Override
        public String toString() {
            return ms < 0
                    ? String.format("{\"vendor\":\"%s\",\"at\":%d,\"ms\":null,\"outcome\":null}", vendor, at)
                    : String.format(
                            Locale.ROOT,
                            "{\"vendor\":\"%s\",\"at\":%d,\"ms\":%.3f,\"outcome\":\"%s\"}",
                            vendor, at, ms, outcome);
        }
    }

    /** Null: no answer. */
    static Double ask(Call call, String payment) throws InterruptedException {
        String url = System.getenv(call.vendor.toUpperCase(Locale.ROOT) + "_URL") + "/v1/score?payment=" + payment;
        try {
            HttpResponse<String> response =
                    CLIENT.send(HttpRequest.newBuilder(URI.create(url)).build(), BodyHandlers.ofString());
            Matcher score = SCORE.matcher(response.body());
            if (response.statusCode() != 200) call.end("status " + response.statusCode());
            else if (!score.find()) call.end("no score");
            else {
                call.end("ok");
                return Double.valueOf(score.group(1));
            }
        } catch (IOException error) {
            call.end(error.getClass().getSimpleName());
        }
        return null;
    }

    static String score(String payment) throws Exception {
        List<Future<Double>> asked = new ArrayList<>();
        for (String vendor : VENDORS) {
            Call call = new Call(vendor);
            SEEN.add(call);
            asked.add(CALLS.submit(() -> ask(call, payment)));
        }
        List<Double> given = new ArrayList<>();
        List<String> missing = new ArrayList<>();
        for (int i = 0; i < asked.size(); i++) {
            Double one = asked.get(i).get();
            if (one == null) missing.add('"' + VENDORS.get(i) + '"');
            else given.add(one);
        }
        double whole = given.stream().mapToDouble(Double::doubleValue).average().orElse(1);
        return String.format(Locale.ROOT, "{\"score\":%s,\"missing\":[%s]}", whole, String.join(",", missing));
    }

    static String answer(HttpExchange exchange) throws Exception {
        if (exchange.getRequestURI().getPath().equals("/calls"))
            return SEEN.stream().map(Call::toString).collect(Collectors.joining(",", "[", "]"));
        return score(exchange.getRequestURI().getQuery().replace("payment=", ""));
    }

    static void serve(HttpExchange exchange) throws IOException {
        try (exchange) {
            byte[] said = answer(exchange).getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().add("Content-Type", "application/json");
            exchange.sendResponseHeaders(200, said.length);
            exchange.getResponseBody().write(said);
        } catch (IOException left) {
            throw left;
        } catch (Exception error) {
            throw new IOException(error);
        }
    }

    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 1024);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", FraudService::serve);
        server.start();
        System.out.println("{\"port\":" + server.getAddress().getPort() + "}");
    }
}
