// Fetches a URL with QNetworkAccessManager, and prints the status, the content type
// and the body.
#include <QCoreApplication>
#include <QNetworkAccessManager>
#include <QNetworkReply>
#include <QTextStream>

int main(int argc, char **argv)
{
    QCoreApplication app(argc, argv);
    QNetworkAccessManager manager;
    QNetworkReply *reply = manager.get(QNetworkRequest(QUrl(QString::fromLocal8Bit(argv[1]))));
    QObject::connect(reply, &QNetworkReply::finished, [reply] {
        QTextStream(stdout) << int(reply->error()) << ' '
                            << reply->attribute(QNetworkRequest::HttpStatusCodeAttribute).toInt() << ' '
                            << reply->header(QNetworkRequest::ContentTypeHeader).toString() << ' '
                            << reply->readAll();
        QCoreApplication::quit();
    });
    return app.exec();
}
