import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.io.ByteArrayInputStream;

/** Writes with java.net.http.HttpClient as it is by default: it asks to upgrade to h2c with its first requests. */
public class UpgradingClient {
    public static void main(String[] args) throws Exception {
        String base = args[0];
        String body = "{\"resourceType\":\"Patient\",\"id\":\"java\",\"active\":true}";
        String large = "{\"resourceType\":\"Patient\",\"id\":\"java\",\"name\":[{\"text\":\"" + "x".repeat(500_000) + "\"}]}";
        send(base + "/Patient", "POST", BodyPublishers.ofString(body), 201);
        send(base + "/Patient/java", "PUT", BodyPublishers.ofString(body), 201);
        send(base + "/Patient/java", "PUT", BodyPublishers.ofString(large), 200);
        byte[] bytes = large.getBytes();
        send(base + "/Patient/java", "PUT", BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(bytes)), 200);
        HttpClient one = HttpClient.newHttpClient();
        for (int n = 0; n < 3; n++) {
            send(one, base + "/Patient/java", "PUT", BodyPublishers.ofString(body), 200);
            send(one, base + "/Patient/java", "GET", BodyPublishers.noBody(), 200);
        }
    }

    private static void send(String url, String method, HttpRequest.BodyPublisher body, int expected) throws Exception {
        send(HttpClient.newHttpClient(), url, method, body, expected);  // a new client asks anew
    }

    private static void send(HttpClient client, String url, String method, HttpRequest.BodyPublisher body, int expected)
            throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
                .header("Content-Type", "application/fhir+json").method(method, body).build();
        HttpResponse<String> answer = client.send(request, BodyHandlers.ofString());
        System.out.println(method + " " + answer.statusCode());
        if (answer.statusCode() != expected) {
            System.out.println(answer.body().substring(0, Math.min(500, answer.body().length())));
            System.exit(1);
        }
    }
}
